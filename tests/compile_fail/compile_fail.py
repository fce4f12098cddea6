#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A program that must compile, and the same program with one other line that must not.

  compile_fail.py BUILD_FOLDER SOURCE

SOURCE has the two lines in one #ifdef MUST_NOT_COMPILE ... #else ... #endif. Both are compiled as the build compiles SOURCE. All errors of
the second must be about its own line: what fails for another reason proves nothing.
"""
import json
import pathlib
import re
import shlex
import subprocess
import sys


def compile_command(build, source):
    for entry in json.loads((build / 'compile_commands.json').read_text(encoding='utf-8')):
        if pathlib.Path(entry['file']).resolve() == source:
            command = shlex.split(entry['command'])
            return command[:command.index('-o')] + ['-fsyntax-only', '-c', str(source)], entry['directory']
    sys.exit(f'{build} does not build {source}')


def main():
    build, source = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    pair = re.search(r'^#ifdef MUST_NOT_COMPILE\n[^\n]+\n#else\n[^\n]+\n#endif\n', source.read_text(encoding='utf-8'), re.M)
    if not pair:
        sys.exit(f'{source} has no two lines of which one must not compile')
    line = source.read_text(encoding='utf-8').count('\n', 0, pair.start()) + 2
    command, folder = compile_command(build, source)

    good = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if good.returncode != 0:
        sys.exit(f'what must compile does not:\n{good.stderr}')
    bad = subprocess.run(command + ['-DMUST_NOT_COMPILE'], cwd=folder, capture_output=True, text=True)
    if bad.returncode == 0:
        sys.exit(f'{source}:{line} compiles, but must not')
    errors = re.findall(r'^(.+?):(\d+):\d+: (?:fatal )?error: (.*)$', bad.stderr, re.M)
    strange = [error for error in errors if pathlib.Path(folder, error[0]).resolve() != source or int(error[1]) != line]
    if strange or not errors:
        sys.exit(f'{source}:{line} does not compile, but for another reason:\n{bad.stderr}')
    print(f'{source.name}:{line} is refused: {errors[0][2]}')


if __name__ == '__main__':
    main()
