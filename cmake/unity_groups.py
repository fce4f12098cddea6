#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which sources may be compiled as one file, and these files.

  unity_groups.py REPOSITORY LINES FOLDER <SOURCES >GROUPS

SOURCES has a line "target|file|target's folder|options|together" for each C++ source, GROUPS a line "group|target|file|options" for each that
shares a group with another. The group is a file in FOLDER that includes them. They have the same options and the same word for what belongs
together, and at most LINES lines.

A name of a file's own (in an anonymous namespace, static) is another one while the file is compiled, by a macro, wherever that can mean
nothing else. All headers come before that, so that none of them sees the macros. A name that is not so changed, or a macro's, no other file
of the group may name at all, in itself or in the headers it includes, so that neither redefinitions nor a wrong meaning can come of it;
where that is not seen, the compiler refuses the group.
Files that the preprocessor has to see alone, which define macros before they include, belong to no group, and neither do those that several
targets of a folder share.
"""
import collections
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
        elif re.match(r'[A-Za-z\[]', line) and not line.startswith(('template', 'namespace', 'using namespace', 'TEST_')):
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
        if name and name[1] != 'static_assert' and not head[:name.start()].endswith('::'):   # after a scope it was declared before
            names.add(name[1])
        if re.match(r'\s*enum\b(?! class)', head):
            names.update(re.findall(r'\bk[A-Z]\w*', head))
        declaration = None
    return names


@functools.cache
def declared_by(repository, header):
    """Of each name that a header of ours declares, or one that it includes: which headers declare it."""
    path = os.path.join(repository, header)
    if header.endswith('_generated.h') or not os.path.exists(path):
        return {}
    with open(path, encoding='utf-8') as opened:
        text = without_comments(opened.read())
    return merged([dict.fromkeys(declared_names(text, own=False), frozenset([header]))] +
                  [declared_by(repository, other) for other in INCLUDE.findall(text)])


def merged(declarations):
    result = {}
    for names in declarations:
        for name, headers in names.items():
            result[name] = result.get(name, frozenset()) | headers
    return result


def named(text):
    """Names that text may look up in its namespaces: all words but those after a dot, an arrow or a scope."""
    return set(re.findall(r'(?<![\w.:])(?<!->)[A-Za-z_]\w*', text))


class Source:
    def __init__(self, repository, target, file, options, together):
        with open(file, encoding='utf-8') as opened:
            text = without_comments(opened.read())
        self.target, self.file, self.options, self.together, self.lines = target, file, options, together, text.count('\n')
        first_define, last_include = re.search(r'^ *# *define', text, re.M), [m.start() for m in re.finditer(r'^ *# *include', text, re.M)]
        self.alone = bool(first_define and last_include and first_define.start() < last_include[-1])
        self.own = declared_names(text, own=True)
        self.declared = merged(declared_by(repository, header) for header in INCLUDE.findall(text))
        self.named = named(text).union(self.declared)
        self.using = {name: line for line, name in re.findall(r'^(using (?:[\w:]+::)?(\w+)(?: = [^;]+)?;)', text, re.M)}
        self.includes = re.findall(r'^#include +\S+', text, re.M)
        self.renamed = self.names_to_change(text)
        self.own -= set(self.renamed)
        self.opened = set(re.findall(r'^using namespace ([\w:]+);', text, re.M))

    def names_to_change(self, text):
        """Those of its own names that mean one thing in all of its text: no macro, member, overload of a header's function, or what
        overrides one; none at all where it depends on the platform which headers are included."""
        if re.search(r'^ *# *if.*(?:\n(?! *# *endif).*)*\n *# *include', text, re.M):
            self.includes = []
            return []
        other = set(re.findall(r'(?:\.|->|::) *([A-Za-z_]\w*)', text)) | set(re.findall(r'^ *# *define +(\w+)', text, re.M))
        other |= set(re.findall(r'\b(\w+)\([^;{}]*\)[^;{}]*\boverride\b', text))
        return sorted(self.own - other - set(self.declared))

    def means_the_same(self, name, other):
        """The same declaration with 'using', or one of what the other sees in the same headers."""
        if self.using[name] == other.using.get(name):
            return True
        return name not in other.own and self.declared.get(name) == other.declared.get(name)

    def takes(self, other):
        return any(not (name in self.using and self.means_the_same(name, other)) for name in self.own & other.named)

    def conflicts(self, other):
        return (self.options, self.together) != (other.options, other.together) or self.opened != other.opened or self.takes(other) or other.takes(self)


def write_group(name, sources):
    """One file that includes the sources; the same bytes leave it as it is."""
    lines = []
    if any(source.renamed for source in sources):
        lines += dict.fromkeys(line for source in sources for line in source.includes)
    for number, source in enumerate(sources):
        lines += [f'#define {own} {own}_{number}' for own in source.renamed]
        lines += ['// NOLINTNEXTLINE(bugprone-suspicious-include)', f'#include "{source.file}"']
        lines += [f'#undef {own}' for own in source.renamed]
    text = '\n'.join(lines) + '\n'
    if not os.path.exists(name) or open(name, encoding='utf-8').read() != text:
        with open(name, 'w', encoding='utf-8') as out:
            out.write(text)


def main():
    repository, limit, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    lines, groups = [line.split('|') for line in sys.stdin.read().splitlines()], {}
    targets = collections.Counter((file, place) for _, file, place, *_ in lines)
    for target, file, place, options, together in lines:
        source = Source(repository, target, file, options, together)
        if source.alone or targets[file, place] > 1:
            continue
        of_target = groups.setdefault(target, [])
        for group in of_target:
            if sum(s.lines for s in group) + source.lines <= limit and not any(source.conflicts(s) for s in group):
                group.append(source)
                break
        else:
            of_target.append([source])
    os.makedirs(folder, exist_ok=True)
    for target, of_target in groups.items():
        for number, group in enumerate(of_target):
            if len(group) > 1:
                name = os.path.join(folder, f'{target}_{number}.cc')
                write_group(name, group)
                for source in group:
                    print(f'{name}|{target}|{source.file}|{source.options}')


if __name__ == '__main__':
    main()
