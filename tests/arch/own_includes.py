#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every file includes what declares the names that it uses, itself or through a header of ours: files that are compiled some at a time
(cmake/unity.cmake) would get them from one another, and fail where they are compiled alone.

  own_includes.py REPOSITORY

Looks at the names of the C++ library, and at those that headers of ours declare in their namespaces."""
import collections
import functools
import os
import re
import sys

STANDARD = {
    'algorithm': 'sort stable_sort copy fill fill_n min max clamp find_if any_of all_of none_of lower_bound upper_bound reverse equal nth_element',
    'array': 'array', 'atomic': 'atomic memory_order_relaxed memory_order_acquire memory_order_release', 'bit': 'bit_cast countr_zero bit_ceil popcount',
    'charconv': 'from_chars to_chars', 'chrono': 'chrono', 'cmath': 'sqrt exp log isfinite lround fabs tanh pow', 'condition_variable': 'condition_variable',
    'deque': 'deque', 'filesystem': 'filesystem', 'functional': 'function', 'limits': 'numeric_limits', 'map': 'map multimap', 'memory': 'unique_ptr shared_ptr make_unique make_shared',
    'mutex': 'mutex lock_guard unique_lock once_flag', 'numeric': 'accumulate iota', 'optional': 'optional nullopt', 'random': 'mt19937', 'set': 'set multiset',
    'span': 'span', 'string': 'string to_string', 'string_view': 'string_view', 'thread': 'thread', 'tuple': 'tuple', 'unordered_map': 'unordered_map',
    'unordered_set': 'unordered_set', 'utility': 'pair', 'variant': 'variant', 'vector': 'vector'}
HEADERS_OF = {}
for header, names in STANDARD.items():
    for name in names.split():
        HEADERS_OF.setdefault(name, set()).add(header)
# What these are certain to bring with them.
HEADERS_OF['string_view'].add('string')
HEADERS_OF['pair'] |= {'map', 'unordered_map', 'algorithm', 'memory', 'vector', 'array', 'tuple', 'optional', 'string', 'functional'}
# What clang-format puts into the first column of a header is declared in a namespace.
DECLARED = re.compile(r'^(?:class|struct|enum class) (?:\[\[\w+\]\] )?(\w+)(?= final| :| \{)', re.M)
ANYWHERE = re.compile(r'\b(?:class|struct|enum class|using) (?:\[\[\w+\]\] )?(\w+)(?= final| :| \{| =)')
FOLDERS = ('schema', 'runtime', 'converter', 'platforms', 'tests', 'examples')


def text_of(path):
    with open(path, encoding='utf-8') as opened:
        return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"', lambda m: m[0] if m[0][0] == '"' and m.string[:m.start()].rstrip(' ').endswith('include') else ' ',
                      opened.read(), flags=re.S)


def read_texts(repository):
    texts = {}
    for folder in FOLDERS:
        for place, folders, files in os.walk(os.path.join(repository, folder)):
            folders[:] = [f for f in folders if f not in ('generated', 'data')]
            for file in files:
                if file.endswith(('.cc', '.h')):
                    path = os.path.join(place, file)
                    texts[os.path.relpath(path, repository)] = text_of(path)
    return texts


class Tree:
    """Files by their paths in the repository, without comments and strings; generated: the names in what is generated."""

    def __init__(self, texts, generated):
        self.texts, self.generated = texts, generated

    @functools.cache
    def included(self, file):
        """All headers, the library's by name and ours by path, that file includes in the end."""
        result = set()
        for bracket, name in re.findall(r'^ *# *include *([<"])([^>"]+)[>"]', self.texts.get(file, ''), re.M):
            ours = next((path for path in (name, 'runtime/include/' + name, 'platforms/' + name, os.path.join(os.path.dirname(file), name)) if path in self.texts), None)
            result.add(ours or name)
            if ours and ours != file:
                result |= self.included(ours)
        return result

    @functools.cached_property
    def declaring(self):
        """Of each type that one header of ours alone declares, and that nothing else is named like: which."""
        found, count = {}, collections.Counter()
        for file, text in self.texts.items():
            count.update(ANYWHERE.findall(text))
            if file.endswith('.h'):
                for name in DECLARED.findall(text):
                    found.setdefault(name, set()).add(file)
        return {name: files for name, files in found.items() if count[name] == 1 and name not in self.generated}

    def announced(self, name, headers):
        """Whether one of these headers says that there is such a type, as is enough for a reference to it."""
        return any(re.search(rf'^ *(?:class|struct) {name};', self.texts.get(header, ''), re.M) for header in headers)

    def missing(self, file):
        included, text = self.included(file), self.texts[file]
        for name in sorted(set(re.findall(r'(?<![\w.:])(?<!->)[A-Z]\w+\b(?=[ >&*,)]| \w)', text)) & set(self.declaring)):
            headers = self.declaring[name]
            if not headers & included and file not in headers and not re.search(rf'(?:class|struct|typename(?:\.\.\.)?|define) (?:\w+::)?{name}\b|\b{name}\(', text) and not self.announced(name, included):
                yield name, sorted(headers)
        for name in sorted(set(re.findall(r'\bstd::(\w+)', self.texts[file])) & set(HEADERS_OF)):
            if not HEADERS_OF[name] & included:
                yield f'std::{name}', sorted(HEADERS_OF[name])


def faults(tree):
    return [f'{file}: uses {name} and does not include {" or ".join(headers)}' for file in sorted(tree.texts) for name, headers in tree.missing(file)]


def check_itself():
    """What has to be found in a tree of three files, and what has not."""
    tree = Tree({'runtime/a.h': '#include <vector>\nclass Alpha {\n};\n', 'runtime/b.cc': 'std::vector<int> x;\nvoid F(const Alpha& a);\n',
                 'runtime/c.cc': '#include "runtime/a.h"\nstd::vector<int> x;\nvoid G(const Alpha& a);\n'}, set())
    assert [fault.split()[:3] for fault in faults(tree)] == [['runtime/b.cc:', 'uses', 'Alpha'], ['runtime/b.cc:', 'uses', 'std::vector']], faults(tree)


def main():
    check_itself()
    with open(os.path.join(sys.argv[1], 'schema/generated/model_generated.h'), encoding='utf-8') as opened:
        generated = set(re.findall(r'\w+', opened.read()))
    found = faults(Tree(read_texts(sys.argv[1]), generated))
    print('\n'.join(found))
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
