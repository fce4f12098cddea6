#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What can be said of the documents without running anything: links lead somewhere, named files and functions exist, those of diffs too,
README is short, lines are no longer than a screen.
  text.py SOURCE
"""
import pathlib
import re
import sys

import markdown

README_LINES = 160
COLUMNS = 120
HISTORY = {"CHANGELOG.md", "NOTES.md"}   # written line by line, by others


def anchor(heading: str) -> str:
    """How GitHub calls a heading."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(document: markdown.Document) -> set[str]:
    return {anchor(line.lstrip("#")) for _, line in document.prose if re.match(r"#+ ", line)}


def check(source: pathlib.Path) -> tuple[int, list[str]]:
    read = {path: markdown.read(path) for path in markdown.documents(source)}
    # Comments name functions that there were; declarations are what counts.
    headers = "".join(path.read_text(encoding="utf-8") for path in (source / "runtime/include/graft").glob("*.h"))
    names = set(re.findall(r"\b(?:graft|GRAFT)_\w+", re.sub(r"/\*.*?\*/", "", headers, flags=re.S)))
    checks, faults = 0, []
    for path, document in read.items():
        shown = path.relative_to(source)
        for number, line in document.prose:
            where = f"{shown}:{number}"
            for target in re.findall(r"\]\(([^)\s]+)\)", line):
                if re.match(r"[a-z]+:", target):
                    continue
                checks += 1
                file, _, name = target.partition("#")
                there = (path.parent / file).resolve() if file else path
                if not there.exists():
                    faults.append(f"{where}: the link {target} leads nowhere")
                elif name and name not in anchors(read[there] if there in read else markdown.read(there)):
                    faults.append(f"{where}: {target}: there is no such heading")
            for name in re.findall(r"`((?:runtime|converter|schema|platforms|tests|cmake|docs|examples)/[\w./*-]+)`", line):
                checks += 1
                if "NAME" not in name and not any(source.glob(name.rstrip("/"))):
                    faults.append(f"{where}: there is no {name}")
            renamed = re.sub(r"`\w+` is (?=`graft_)", "", line)   # without what a function was called
            for name in re.findall(r"\b(?:graft_(?:model|session|chat|cpu|kernel|version|tokenize|embed|classify)\w*|GRAFT_(?:OK|KV|TASK|STOP|TYPE|IMAGE)\w*)", renamed):
                checks += 1
                if name not in names and not name.endswith("_"):
                    faults.append(f"{where}: graft.h has no {name}")
            if path.name not in HISTORY and len(line) > COLUMNS and not line.lstrip().startswith("|"):
                faults.append(f"{where}: {len(line)} columns, more than {COLUMNS}")
        for block in document.blocks:
            if block.language != "diff":
                continue
            # A diff may be an example: then a file that it makes is not there, but its folder is.
            for old, new in re.findall(r"^--- (?:a/)?(\S+)\n\+\+\+ b/(\S+)$", "\n".join(block.lines), flags=re.M):
                checks += 1
                there = (source / new).parent.is_dir() if old == "/dev/null" else old == new and (source / old).is_file()
                if not there:
                    faults.append(f"{shown}:{block.line}: the diff changes {new}, which is not there")
        checks += 1
    lines = len((source / "README.md").read_text(encoding="utf-8").splitlines())
    checks += 1
    if lines > README_LINES:
        faults.append(f"README.md: {lines} lines, more than {README_LINES}")
    return checks, faults


def main() -> int:
    checks, faults = check(pathlib.Path(sys.argv[1]).resolve())
    print("\n".join(faults), end="\n" if faults else "")
    print(f"{checks - len(faults)} passed, {len(faults)} failed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
