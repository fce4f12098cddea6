#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which sources may be compiled as one file.

  unity_groups.py REPOSITORY LINES <SOURCES >GROUPS

SOURCES has a line "target|file" for each C++ source, GROUPS a line "group|target|file" for each that shares a group with another. A group
has at most LINES lines. What one file calls by a name of its own (in an anonymous namespace, static, a macro) no other file of its group
may name at all, in itself or in the headers it includes, so that neither redefinitions nor a wrong meaning can come of it; where that is
not seen, the compiler refuses the group.
Files that the preprocessor has to see alone, which define macros before they include, belong to no group.
"""
import functools
import os
import re
import sys

INCLUDE = re.compile(r'^ *# *include *"([^"]+)"', re.M)


def without_comments(text):
    return re.sub(r'(?<!^}  )//[^\n]*|/\*.*?\*/', ' ', text, flags=re.S | re.M)


def declared_names(text, own):
    """Names that text declares in its namespaces; own: for itself alone. Relies on clang-format: what stands in a namespace begins in the
    first column."""
    names = set(re.findall(r'^ *# *define +(\w+)', text, flags=re.M)) if own else set()
    anonymous, declaration = False, None
    for line in text.split('\n'):
        if line == 'namespace {':
            anonymous = True
        elif line == '}  // namespace':
            anonymous = False
        elif re.match(r'[A-Za-z\[]', line) and not line.startswith(('template', 'namespace', 'TEST_')):
            if not own or anonymous or line.startswith('static '):
                declaration = ''
        if declaration is None:
            continue
        declaration += ' ' + line
        head = re.sub(r'\[\[.*?\]\]', ' ', declaration)
        while '<' in head and re.search('<[^<>]*>', head):
            head = re.sub('<[^<>]*>', ' ', head)
        end = re.search(r'[({=;\[]|(?<!:):(?!:)', head)
        if not end:
            continue
        name = re.search(r'([A-Za-z_]\w*)\s*(?:\bfinal\s*)?$', head[:end.start()])
        if name and name[1] != 'static_assert':
            names.add(name[1])
        if re.match(r'\s*enum\b(?! class)', head):
            names.update(re.findall(r'\bk[A-Z]\w*', head))
        declaration = None
    return names


@functools.cache
def included(repository, header):
    """Names that a header of ours declares, and those it includes."""
    path = os.path.join(repository, header)
    if header.endswith('_generated.h') or not os.path.exists(path):
        return frozenset()
    with open(path, encoding='utf-8') as opened:
        text = without_comments(opened.read())
    return frozenset(declared_names(text, own=False)).union(*(included(repository, other) for other in INCLUDE.findall(text)))


def named(text):
    """Names that text may look up in its namespaces: all words but those after a dot, an arrow or a scope."""
    return set(re.findall(r'(?<![\w.:])(?<!->)[A-Za-z_]\w*', text))


class Source:
    def __init__(self, repository, target, file):
        with open(file, encoding='utf-8') as opened:
            text = without_comments(opened.read())
        self.target, self.file, self.lines = target, file, text.count('\n')
        first_define, last_include = re.search(r'^ *# *define', text, re.M), [m.start() for m in re.finditer(r'^ *# *include', text, re.M)]
        self.alone = bool(first_define and last_include and first_define.start() < last_include[-1])
        self.own = declared_names(text, own=True)
        self.named = named(text).union(*(included(repository, header) for header in INCLUDE.findall(text)))
        self.opened = set(re.findall(r'^using namespace ([\w:]+);', text, re.M))

    def conflicts(self, other):
        return bool(self.own & other.named or other.own & self.named) or self.opened != other.opened


def main():
    repository, limit, groups = sys.argv[1], int(sys.argv[2]), {}
    for line in sys.stdin.read().splitlines():
        source = Source(repository, *line.split('|'))
        if source.alone:
            continue
        of_target = groups.setdefault(source.target, [])
        for group in of_target:
            if sum(s.lines for s in group) + source.lines <= limit and not any(source.conflicts(s) for s in group):
                group.append(source)
                break
        else:
            of_target.append([source])
    for target, of_target in groups.items():
        for number, group in enumerate(of_target):
            if len(group) > 1:
                for source in group:
                    print(f'{target}_{number}|{target}|{source.file}')


if __name__ == '__main__':
    main()
