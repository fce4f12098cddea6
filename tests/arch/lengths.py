#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Product files have at most 400 lines, their functions at most 60: what is longer has its reason in lengths.txt, which names nothing else.

  lengths.py REPOSITORY EXCEPTIONS
"""
import pathlib
import re
import sys

MOST_FILE_LINES, MOST_FUNCTION_LINES = 400, 60
ROOMS = ('schema', 'runtime', 'converter', 'platforms')
SUFFIXES = ('.cc', '.h', '.c', '.java', '.kt')
# Comments, preprocessor lines and literals: what may hold braces that open nothing.
OPAQUE = re.compile(r'''//[^\n]*|/\*.*?\*/|^[ \t]*\#(?:[^\n\\]|\\.)*|R"([^(\s]*)\(.*?\)\1"|"""(?:.*?)"""|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)+\'''',
                    re.S | re.M)
NO_FUNCTION = re.compile(r'(?:\w+ )*(?:namespace|class|struct|union|enum|interface|extern|object|companion|switch|for|while|if|else|do|try|catch|return)\b')


def blanked(text):
    """text with what is opaque overwritten by spaces, so that lines and columns stay."""
    return OPAQUE.sub(lambda found: re.sub(r'[^\n]', ' ', found[0]), text)


def is_function(head):
    """Whether a brace after head, the text since the statement before, opens the body of a function."""
    while (shorter := re.sub(r'\([^()]*\)', '@', head)) != head:   # arguments away
        head = shorter
    head = re.sub(r'^(?:\s*(?:public|private|protected)\s*:)*|\[\[.*?\]\]|template <[^{}]*?>(?= *\n)', '', head).strip()
    return '@' in head and not NO_FUNCTION.match(head) and (not re.search(r'(?<![=!<>])=(?!=)', head) or 'operator' in head or head.startswith('fun '))


def functions(text, by_lines):
    """(first line, last line, name) of each function; what is inside of one, a lambda say, belongs to it. by_lines: no semicolons end statements."""
    text, found, open_braces, head_start, body = blanked(text), [], 0, 0, None
    for at in (found_at.start() for found_at in re.finditer(r'[{};]', text)):
        if text[at] == '{':
            open_braces += 1
            if by_lines and (keyword := list(re.finditer(r'\b(?:fun|class|object|interface|if|for|while)\b', text[head_start:at]))):
                head_start += keyword[-1].start()
            head = text[head_start:at]
            if body is None and is_function(head):
                start = head_start + len(head) - len(head.lstrip())
                if head.lstrip().startswith(',') and found:   # the braces before were those of a member's initializer
                    start = found.pop()[0]
                body = (open_braces, start, head)
        elif text[at] == '}':
            if body and body[0] == open_braces:
                found.append((body[1], at, re.search(r'([~\w:]+) *\(', body[2])))
                body = None
            open_braces -= 1
        if body is None or text[at] != ';':
            head_start = at + 1 if body is None else head_start
    line = lambda offset: text.count('\n', 0, offset) + 1
    return [(line(start), line(end), name[1] if name else '?') for start, end, name in found]


def main():
    repository, listed = pathlib.Path(sys.argv[1]), {}
    for line in pathlib.Path(sys.argv[2]).read_text(encoding='utf-8').splitlines():
        if line and not line.startswith('#'):
            what, _, reason = line.partition('  ')
            listed[what] = reason.strip()
    too_long, counted = {}, 0
    for path in sorted(path for room in ROOMS for path in (repository / room).rglob('*')):
        name = path.relative_to(repository).as_posix()
        if path.suffix not in SUFFIXES or name.startswith('schema/generated/'):
            continue
        text = path.read_text(encoding='utf-8')
        lines = text.count('\n')
        if lines > MOST_FILE_LINES:
            too_long[name] = f'{name} has {lines} lines, more than {MOST_FILE_LINES}'
        for first, last, function in functions(text, path.suffix == '.kt'):
            counted += 1
            if last - first + 1 > MOST_FUNCTION_LINES:
                too_long[f'{name}:{function}'] = f'{name}:{first}: {function} has {last - first + 1} lines, more than {MOST_FUNCTION_LINES}'
    faults = [message for what, message in too_long.items() if what not in listed]
    faults += [f'{what} is short enough: take it off the list' for what in listed if what not in too_long]
    faults += [f'{what} has no reason' for what, reason in listed.items() if not reason]
    if counted < 1000:
        faults.append(f'{counted} functions found: that cannot be all')
    print('\n'.join(faults) or f'{counted} functions, {len(listed)} exceptions')
    sys.exit(bool(faults))


if __name__ == '__main__':
    main()
