# SPDX-License-Identifier: Apache-2.0
"""Reads this project's documents: their code blocks, the marks in front of them, and everything else as prose.

Marks are comments of HTML on lines of their own. They hold for the next code block:
  <!-- not run: REASON -->    its commands are listed, not run
  <!-- file: NAME -->         it is the contents of file NAME
  <!-- compile: LANGUAGE -->  it compiles, inside of what fragments/ has for that language
and these are blocks themselves, which a reader does not see:
  <!-- setup                  shell lines, run where they stand
  <!-- setup-file: NAME       contents of file NAME
both up to a line that is --> alone.
"""
import dataclasses
import pathlib
import re


@dataclasses.dataclass
class Block:
    line: int           # of the first line inside
    language: str       # of the fence; "" for none
    lines: list[str]
    mark: str = ""      # "not run", "file", "compile", "setup", "setup-file" or ""
    argument: str = ""  # what stands behind the mark's colon


@dataclasses.dataclass
class Document:
    path: pathlib.Path
    blocks: list[Block]
    prose: list[tuple[int, str]]  # line number and line


def read(path: pathlib.Path) -> Document:
    document = Document(path, [], [])
    mark, argument = "", ""
    block, end = None, None
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if block is not None:
            if line.strip() == end:
                document.blocks.append(block)
                block = None
            else:
                block.lines.append(line)
            continue
        found = re.fullmatch(r"<!-- *(not run|file|compile): *(.*?) *-->", line)
        if found:
            mark, argument = found.groups()
            continue
        found = re.fullmatch(r"<!-- *(setup|setup-file)(?:: *(.*?))? *", line)
        if found:
            block, end = Block(number + 1, "", [], found[1], found[2] or ""), "-->"
            continue
        found = re.fullmatch(r" *```(\w*)", line)
        if found:
            block, end = Block(number + 1, found[1], [], mark, argument), "```"
            mark, argument = "", ""
            continue
        if line.startswith("<!--"):
            raise SystemExit(f"{path}:{number}: a comment that is none of the marks of tests/docs/markdown.py")
        document.prose.append((number, line))
    if block is not None:
        raise SystemExit(f"{path}:{block.line}: a block without an end")
    if mark:
        raise SystemExit(f"{path}: a mark without a block behind it: {mark}")
    return document


def documents(source: pathlib.Path) -> list[pathlib.Path]:
    """What people read, without the data of tests."""
    paths = [*source.glob("*.md"), *source.glob("docs/**/*.md"), *source.glob("examples/**/*.md"), *source.glob("schema/*.md"),
             *source.glob("platforms/**/*.md"), *source.glob("tests/data/NOTES.md")]
    return sorted(paths)
