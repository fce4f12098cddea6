#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of the documents, and compares what they print with what the documents show.
  documents.py --source DIR --build DIR --cc CC [--javac JAVAC --classes DIR] --out DIR [DOCUMENT...]

Every block of language sh is run, line by line, and every line that starts with "$ " in a block without a language; the lines behind it
are its output. A line "..." stands for any lines, "..." within a line for anything; seconds are not compared, and numbers of four or more
decimals only to a hundredth. A document is one shell in a folder of its own, which looks like this repository: with the programs of BUILD
in build/release/bin, the tests' data, and my-lora, an adapter as PEFT saves it. What needs a network, a board or hours is stood in for
by the programs in stand_ins/: they do what can be done here with the very same words. markdown.py explains the marks in documents.
"""
import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys

import markdown

MARKER = "@@ command"
FRAGMENTS = pathlib.Path(__file__).parent / "fragments"
TIMEOUT_SECONDS = 120


@dataclasses.dataclass
class Command:
    line: int
    text: str
    expected: list[str] | None = None   # None: nothing is shown
    hidden: bool = False


@dataclasses.dataclass
class Outcome:
    passed: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)
    not_run: list[str] = dataclasses.field(default_factory=list)


def shell_commands(block: markdown.Block) -> list[Command]:
    """The commands of a block of language sh: a line each, with its continuations."""
    commands, text, start = [], "", 0
    for number, line in enumerate(block.lines, block.line):
        if not text:
            start = number
        text += line + "\n"
        if line.endswith("\\"):
            continue
        if text.strip() and not text.lstrip().startswith("#"):
            commands.append(Command(start, text))
        text = ""
    return commands


def transcript(block: markdown.Block) -> list[Command]:
    """The commands of a block in which lines start with "$ ", each with the output behind it."""
    commands = []
    for number, line in enumerate(block.lines, block.line):
        if line.startswith("$ "):
            commands.append(Command(number, line[2:] + "\n", []))
        elif commands:
            commands[-1].expected.append(line)
    return commands


def line_pattern(line: str) -> str:
    pattern, number = "", r"\d+\.\d{4,}|\d+(?:\.\d+)? s\b|\.\.\."
    position = 0
    for found in re.finditer(number, line):
        pattern += re.escape(line[position:found.start()])
        pattern += r"[\d.]+ s" if found[0].endswith(" s") else ".*" if found[0] == "..." else r"(?:%s)\d*" % re.escape(found[0][:found[0].index(".") + 3])
        position = found.end()
    return pattern + re.escape(line[position:])


def differs(expected: list[str], printed: list[str]) -> str:
    """The first line that is not as shown; "" if there is none."""
    position, skips = 0, False
    for line in expected:
        if line.strip() == "...":
            skips = True
            continue
        pattern = re.compile(line_pattern(line))
        while skips and position < len(printed) and not pattern.fullmatch(printed[position]):
            position += 1
        if position == len(printed):
            return f"is not printed: {line}"
        if not pattern.fullmatch(printed[position]):
            return f"shows: {line}\n     prints: {printed[position]}"
        position, skips = position + 1, False
    return "" if skips or position == len(printed) else f"prints more: {printed[position]}"


class Runner:
    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.source = options.source.resolve()
        self.build = options.build.resolve()
        self.out = options.out.resolve()
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)
        self.installed = self.out / "installed"
        log = subprocess.run(["cmake", "--install", self.build, "--prefix", self.installed], capture_output=True, text=True, check=False)
        if log.returncode != 0:
            raise SystemExit(f"cannot install {self.build}: {log.stderr}")

    def make_folder(self, name: str) -> tuple[pathlib.Path, dict[str, str]]:
        """A folder that looks like the repository to a reader of the documents, and its shell's environment."""
        top = self.out / name
        folder = top / "graft"
        (folder / "build").mkdir(parents=True)
        (folder / "build/release").symlink_to(self.build)
        for preset in ("linux-aarch64", "linux-armv7"):
            (folder / "build" / preset).mkdir(parents=True)
            (folder / "build" / preset / "bin").symlink_to(self.build / "bin")
        for entry in ("CMakePresets.json", "cmake", "docs", "examples", "platforms", "schema", "tests"):
            (folder / entry).symlink_to(self.source / entry)
        stand_ins = pathlib.Path(__file__).parent / "stand_ins"
        (folder / "run").symlink_to(stand_ins / "run")
        shutil.copytree(self.source / "tests/data/tales/holmes", folder / "my-lora")
        (top / "home").mkdir()
        (top / "board").mkdir()
        libraries = next(self.installed.glob("lib/**/libgraft.so")).parent
        environment = {
            "PATH": f"{stand_ins}:/usr/local/bin:/usr/bin:/bin", "HOME": str(top / "home"), "LANG": "C.UTF-8",
            "GRAFT_DOCS_SOURCE": str(self.source), "GRAFT_DOCS_BOARD": str(top / "board"), "GRAFT_DOCS_LOG": str(top / "stood_in"),
            "PKG_CONFIG_PATH": str(libraries / "pkgconfig"), "LD_LIBRARY_PATH": str(libraries), "CMAKE_PREFIX_PATH": str(self.installed),
            "CMAKE_GENERATOR": "Ninja",   # what ./run installs; CMake's own choice would be make
        }
        return folder, environment

    def compile(self, block: markdown.Block, folder: pathlib.Path) -> str:
        """What a compiler has to say against a fragment; "" for nothing."""
        frame = (FRAGMENTS / f"frame.{block.argument}").read_text(encoding="utf-8")
        program = folder / f"Fragment{block.line}.{block.argument}"
        text = frame.replace("FRAGMENT_NAME", program.stem).replace("  FRAGMENT;\n", "\n".join(block.lines) + "\n")
        program.write_text(text, encoding="utf-8")
        if block.argument == "java":
            command = [self.options.javac, "-Xlint:all", "-Werror", "-cp", self.options.classes, "-d", folder / "classes", program]
        else:
            command = [self.options.cc, "-std=c99", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", f"-I{self.installed}/include", program]
        log = subprocess.run(command, capture_output=True, text=True, check=False)
        return "" if log.returncode == 0 else log.stderr or log.stdout

    def run(self, path: pathlib.Path) -> Outcome:
        outcome = Outcome()
        shown = str(path.relative_to(self.source))
        document = markdown.read(path)
        script: list[tuple[Command | None, str]] = []
        folder, environment = None, {}

        for block in document.blocks:
            is_shell = block.language == "sh"
            is_transcript = block.language == "" and any(line.startswith("$ ") for line in block.lines)
            if block.mark == "not run":
                commands = shell_commands(block) if is_shell else transcript(block)
                outcome.not_run += [f"{shown}:{c.line}: {c.text.strip()}   ({block.argument})" for c in commands]
                continue
            if not (is_shell or is_transcript or block.mark):
                continue
            if folder is None:
                folder, environment = self.make_folder(shown.replace("/", "_").removesuffix(".md"))
            if block.mark in ("file", "setup-file"):
                contents = "\n".join(block.lines) + "\n"
                script.append((None, f"mkdir -p \"$(dirname {block.argument})\"\ncat >{block.argument} <<'GRAFT_DOCS_END'\n{contents}GRAFT_DOCS_END\n"))
            elif block.mark == "setup":
                script.append((Command(block.line, "\n".join(block.lines) + "\n", hidden=True), ""))
            elif block.mark == "compile":
                if block.argument == "java" and not self.options.javac:
                    outcome.not_run.append(f"{shown}:{block.line}: a fragment of Java   (there is no JDK)")
                    continue
                complaint = self.compile(block, folder)
                if complaint:
                    outcome.faults.append(f"{shown}:{block.line}: does not compile\n{complaint}")
                else:
                    outcome.passed += 1
            else:
                script += [(command, "") for command in (shell_commands(block) if is_shell else transcript(block))]
        if script:
            self.run_script(script, folder, environment, shown, outcome)
        return outcome

    def run_script(self, script, folder, environment, shown, outcome) -> None:
        if not any("export PATH=" in command.text for command, _ in script if command):
            environment["PATH"] = f"{self.build}/bin:{environment['PATH']}"
        commands, text = [], "set -e\nexec 2>&1\n"
        for command, plain in script:
            if command is None:
                text += plain
                continue
            # "set -e" lets a list pass whose first command fails, as in "a && b".
            text += f"echo '{MARKER} {len(commands)}'\n{command.text}[ $? = 0 ]\n"
            commands.append(command)
        text += f"echo '{MARKER} {len(commands)}'\n"
        log = folder.parent / "log.txt"
        with log.open("wb") as stream:
            try:
                subprocess.run(["bash", "-c", text], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
                               timeout=TIMEOUT_SECONDS, check=False)
            except subprocess.TimeoutExpired:
                stream.write(b"(stopped: it takes too long)\n")
        # What ends without a line end has the marker behind it.
        parts = re.split(rf"{MARKER} (\d+)\n", log.read_text(encoding="utf-8", errors="replace"))
        printed = {int(parts[i]): parts[i + 1].splitlines() for i in range(1, len(parts), 2)}
        for number, command in enumerate(commands):
            where = f"{shown}:{command.line}: {command.text.strip().splitlines()[0]}"
            if number + 1 not in printed:
                outcome.faults.append("\n   | ".join([f"{where}\n   failed:", *printed.get(number, [])[-15:]]))
                outcome.faults += [f"{shown}:{c.line}: {c.text.strip().splitlines()[0]}\n   did not come to run" for c in commands[number + 1:] if not c.hidden]
                return
            fault = differs(command.expected, printed[number]) if command.expected else ""
            if fault:
                outcome.faults.append(f"{where}\n   {fault}")
            elif not command.hidden:
                outcome.passed += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--cc", default="cc")
    parser.add_argument("--javac", default="")
    parser.add_argument("--classes", default="")
    parser.add_argument("documents", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    runner = Runner(options)
    paths = [path.resolve() for path in options.documents] or markdown.documents(runner.source)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(runner.run, paths))
    stood_in = sorted({line for log in runner.out.glob("*/stood_in") for line in log.read_text().splitlines()})
    not_run = [line for outcome in outcomes for line in outcome.not_run]
    faults = [fault for outcome in outcomes for fault in outcome.faults]
    for title, lines in (("Stood in for:", stood_in), ("Not run here:", not_run), ("Failed:", faults)):
        if lines:
            print("\n  ".join([title, *lines]))
    passed = sum(outcome.passed for outcome in outcomes)
    print(f"{passed} passed, {len(faults)} failed")
    return 1 if faults or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
