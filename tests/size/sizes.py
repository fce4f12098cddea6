#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bytes of what goes onto a device, by room, by op (where each is compiled alone: unity.cmake) and by dependency, from the linker's map; and
the budget they keep.

sizes.py [--check] [--strip PROGRAM] FILE=MAP...

A byte counts if it is stored in the file and loaded: code, constants, initialized data, tables for unwinding. Zeroed memory does not.
--check: exit 1 where a budget is exceeded."""
import argparse
import glob
import os
import re
import subprocess
import sys
import tempfile

# Bytes of the stripped file, by its name; and of graft's own rooms in any of them. The file's are what a phone downloads.
# 21,455 of the own ones hold what hostile files may cost (597,566 to 619,021).
BUDGETS = {"graft-run": 3_300_000, "libgraft.so": 2_900_000}
OWN_BUDGET = 1_400_000   # 150,000 of it for text in a form: docs/decisions/constrained-text.md; 125,000 for allocations that may fail: docs/decisions/allocation-failure.md; 50,000 for packs, weights that models share, and swaps:
                         # docs/decisions/packs.md; 35,000 for ops that keep states, sessions that hold these, and their rules; 27,000 for
                         # self-tests and signatures, docs/decisions/trust.md; 84,000 for replies that are taken apart, and tools

DEPENDENCIES = {"XNNPACK": "XNNPACK", "microkernels-prod": "XNNPACK", "pthreadpool": "pthreadpool", "cpuinfo": "cpuinfo", "pcre2-8": "PCRE2",
                "utf8proc": "utf8proc", "hwy": "Highway", "graft_dep_sodium": "libsodium", "stdc++": "C++ library", "gcc": "compiler's library", "gcc_eh": "compiler's library",
                "c": "C library", "m": "C library", "m-2.36": "C library", "mvec": "C library", "pthread": "C library", "c_nonshared": "C library"}
ROOMS = {"graft": "runtime (C interface)", "graft_schema": "schema", "graft_runtime": "runtime", "graft_text": "runtime/text", "graft_chat": "runtime/chat",
         "graft_platform": "platforms/posix"}
OPS = {os.path.basename(path) for path in glob.glob(os.path.join(os.path.dirname(__file__), "../../runtime/ops/**/*.cc"), recursive=True)} - {"make_plan.cc"}
STORED = re.compile(r"^\.(text|rodata|data|eh_frame|gcc_except_table|init_array|fini_array|ARM\.ex|tdata|ctors|dtors|init|fini|got|plt|dynsym|dynstr|rela?\b|gnu|hash)")


def owner(path):
    """The room or dependency of one input of the linker; (name, whether it is graft's own)."""
    archive = re.search(r"lib([^/]+?)\.(?:a|so)[^/]*(?:\(|$)", path)
    if archive:
        name = archive.group(1)
        if name in ROOMS:
            return ROOMS[name], True
        return DEPENDENCIES.get(name, "C library" if name.startswith(("m-", "ld-")) else name), False
    if "picture_decoder" in path:
        return "stb_image", False
    if "embedded_linux" in path:
        return "platforms/embedded_linux", True
    return "start-up files and the linker's own", False


def op_of(path):
    """The file of runtime/ops that one input of the linker belongs to: its own, or its kernel's, which has the same name; or None."""
    member = re.search(r"graft_runtime\.a\((\w+\.cc)\.o\)$", path)
    return member.group(1) if member and member.group(1) in OPS else None


def read_map(path):
    """Bytes by (room or dependency, whether it is graft's own), and by op."""
    sizes, ops, section = {}, {}, None
    with open(path, errors="replace") as lines:
        for line in lines:
            if line.startswith("Linker script and memory map"):
                break
        for line in lines:
            # The name of an input section may stand on a line of its own, before address, size and file.
            fields = line.split()
            if len(fields) == 1 and line.startswith(" .") or len(fields) == 1 and line.startswith(" *"):
                section = fields[0]
                continue
            match = re.match(r"^ (?:(\.\S+|COMMON))?\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+(\S.*)$", line)
            if match:
                name = match.group(1) or section
                size = int(match.group(3), 16)
                if name and size and int(match.group(2), 16) and STORED.match(name):
                    key = owner(match.group(4))
                    sizes[key] = sizes.get(key, 0) + size
                    op = op_of(match.group(4).strip())
                    if op:
                        ops[op] = ops.get(op, 0) + size
            section = None
    return sizes, ops


def stripped_bytes(program, strip):
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy")
        subprocess.run([strip, "-o", copy, program], check=True)
        return os.stat(copy).st_size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--strip", default="strip")
    parser.add_argument("files", nargs="+", metavar="FILE=MAP")
    options = parser.parse_args()
    exceeded = []

    def budget(title, size, limit):
        print(f"  {title:<38} {size:>10,} of {limit:,}")
        if size > limit:
            exceeded.append(f"{title}: {size:,} bytes, the budget is {limit:,}")

    for pair in options.files:
        program, _, linked = pair.partition("=")
        name = re.sub(r"\.so.*", ".so", os.path.basename(program))
        sizes, ops = read_map(linked)
        if not any(own for _, own in sizes):
            sys.exit(f"{linked}: shows nothing of graft")
        print(name)
        budget("stripped", stripped_bytes(program, options.strip), BUDGETS[name])
        budget("graft's own", sum(size for (_, own), size in sizes.items() if own), OWN_BUDGET)
        for (title, own), size in sorted(sizes.items(), key=lambda item: (not item[0][1], -item[1])):
            print(f"    {title:<36} {size:>10,}")
            if title == "runtime":
                for op, part in sorted(ops.items(), key=lambda item: -item[1]):
                    print(f"      {op.removesuffix('.cc'):<34} {part:>10,}")
    for line in exceeded:
        print("over budget:", line)
    return 1 if options.check and exceeded else 0


sys.exit(main())
