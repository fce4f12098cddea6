#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the inner loops of kernels cost on ARM cores, as llvm-mca models them: a machine whose caches hold everything.
  kernel_cycles.py PROGRAM [--mca llvm-mca-14] [--cores cortex-a55,...] [--loops REGEX] [--kleidiai FOLDER]

PROGRAM: an aarch64 program with symbols, such as build/linux-aarch64/bin/graft-run. Prints for each kernel of int4 blocks of 32, ours and
XNNPACK's, a table row: instructions a weight and row, loads and spills (loads and stores on the stack) of a block, and cycles a weight and
row on each core. The path through a block is checked: it must hold as many products as a block has.
--kleidiai: a checkout of KleidiAI, whose kernels for the same weights and rows are compiled and shown too.
--loops: instead, the innermost loops of the functions whose names match: attention, norms, row quantization."""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

CORES = "cortex-a55,cortex-a76,cortex-a78,cortex-x2,neoverse-v2"
ATTRIBUTES = "+dotprod,+i8mm,+fullfp16"
BLOCK = 32
ITERATIONS = 200
MOST_TIMES = 4  # that a loop over columns is gone through for a block
PRODUCTS = {"sdot": 16, "smmla": 32}
XNNPACK = "xnn_qd8_f32_qb4w_gemm_minmax_ukernel_"
# Name, symbol, the instruction it is made of, rows, outputs, and the share of its products that counts.
KERNELS = [
    ("dotprod, 1 row", r"MultiplyRows<1ul, true>", "sdot", 1, 16, 1), ("XNNPACK", XNNPACK + "1x16c4__neondot", "sdot", 1, 16, 1),
    ("dotprod, 4 rows", r"MultiplyPanels<1ul, true>", "sdot", 4, 8, 1), ("8 rows", r"MultiplyPanels<2ul, true>", "sdot", 8, 4, 1),
    ("12 rows", r"MultiplyPanels<3ul, true>", "sdot", 12, 4, 1), ("XNNPACK, 4 rows", XNNPACK + "4x16c4__neondot", "sdot", 4, 16, 1),
    ("i8mm, 1 row", r"OneRow, true>", "sdot", 1, 16, 1), ("XNNPACK", XNNPACK + "1x16c8__neoni8mm", "smmla", 1, 16, 0.5),
    ("i8mm, 4 rows", r"MultiplyPanels<1ul, true>", "smmla", 4, 8, 1), ("8 rows", r"MultiplyPanels<2ul, true>", "smmla", 8, 4, 1),
    ("12 rows", r"MultiplyPanels<3ul, true>", "smmla", 12, 4, 1), ("XNNPACK, 4 rows", XNNPACK + "4x16c8__neoni8mm", "smmla", 4, 16, 1),
]

KLEIDIAI = "kai_matmul_clamp_f32_qai8dxp"
# The same of KleidiAI's, by what follows KLEIDIAI in their files' names.
KLEIDIAI_KERNELS = [
    ("dotprod, 1 row", "1x4_qsi4c32p4x4_1x4_neon_dotprod", "sdot", 1, 4, 1), ("1 row", "1x4_qsi4c32p8x4_1x8_neon_dotprod", "sdot", 1, 8, 1),
    ("4 rows", "4x4_qsi4c32p8x4_4x8_neon_dotprod", "sdot", 4, 8, 1), ("16 rows", "4x4_qsi4c32p4x4_16x4_neon_dotprod", "sdot", 16, 4, 1),
    ("i8mm, 1 row", "1x8_qsi4c32p4x8_1x4x32_neon_dotprod", "sdot", 1, 4, 1), ("1 row", "1x8_qsi4c32p8x8_1x8x32_neon_dotprod", "sdot", 1, 8, 1),
    ("4 rows", "4x8_qsi4c32p8x8_4x8x32_neon_i8mm", "smmla", 4, 8, 1), ("8 rows", "4x8_qsi4c32p4x8_8x4x32_neon_i8mm", "smmla", 8, 4, 1),
    ("16 rows", "4x8_qsi4c32p4x8_16x4x32_neon_i8mm", "smmla", 16, 4, 1),
]


class Instruction:
    def __init__(self, address, name, operands):
        self.address, self.name, self.operands = address, name, operands
        target = re.search(r"\b([0-9a-f]+) <", operands) if name.startswith(("b", "cb", "tb")) else None
        self.target = int(target.group(1), 16) if target else None

    def text(self):
        if self.target is None:
            return f"{self.name} {self.operands}"
        return f"{self.name} {re.sub(r'[0-9a-f]+ <.*', '.Lstart', self.operands)}"


def read_functions(program, objdump):
    """Demangled name and instructions of every function."""
    text = subprocess.run([objdump, "-d", "-C", "--no-show-raw-insn", program], check=True, capture_output=True, text=True).stdout
    functions, body = [], None
    for line in text.splitlines():
        if head := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            body = []
            functions.append((head.group(1), body))
        elif found := re.match(r" *([0-9a-f]+):\s+(\S+)\s*(.*)", line):
            body.append(Instruction(int(found.group(1), 16), found.group(2), found.group(3).split("//")[0].strip()))
    return functions


def find_loops(body):
    """First and last index of each loop, the shortest first."""
    index = {instruction.address: i for i, instruction in enumerate(body)}
    loops = [(index[x.target], i) for i, x in enumerate(body) if x.target in index and index[x.target] <= i and x.name != "bl"]
    return sorted(loops, key=lambda loop: loop[1] - loop[0])


def count(path, names):
    return sum(1 for x in path if x.name in names)


def products(path):
    return sum(PRODUCTS.get(x.name, 0) for x in path)


def block_path(body, wanted):
    """What is executed for one block: the loop that scales, with the loop in it as often as makes `wanted` products."""
    loops = find_loops(body)
    for begin, end in loops:
        path = body[begin:end + 1]
        if not products(path) or not count(path, {"scvtf"}):
            continue
        inner = [loop for loop in loops if begin < loop[0] and loop[1] < end and products(body[loop[0]:loop[1] + 1])]
        if not inner:
            if products(path) == wanted:
                return path
            continue
        first, last = inner[0]
        once = body[first:last + 1]
        times = round(wanted / products(once))
        if times > MOST_TIMES:  # a loop over fewer rows
            continue
        # Forward branches lead to what a rest of columns would need, or around it.
        after, i = [], last + 1
        while i <= end:
            x = body[i]
            skipped = [j for j in range(i + 1, end + 1) if body[j].address == x.target]
            if skipped and products(body[i + 1:skipped[0]]):
                i = skipped[0]
                continue
            after.append(x)
            i += 1
        return body[begin:first] + times * once + after
    return []


def cycles(path, core, mca):
    """Cycles of one time through `path`, which repeats; None where the core is unknown."""
    text = ".Lstart:\n" + "\n".join(x.text() for x in path)
    result = subprocess.run([mca, "-mtriple=aarch64", f"-mcpu={core}", f"-mattr={ATTRIBUTES}", f"-iterations={ITERATIONS}"], input=text,
                            capture_output=True, text=True)
    if "not a recognized processor" in result.stderr:
        return None
    found = re.search(r"Total Cycles: +(\d+)", result.stdout)
    if not found:
        sys.exit(f"{mca}: {result.stderr}")
    return int(found.group(1)) / ITERATIONS


def show(name, path, per, options):
    loads = [x for x in path if x.name.startswith("ld")]
    spills = sum("[sp" in x.operands for x in path)
    modelled = [cycles(path, core, options.mca) for core in options.cores]
    cells = [f"{len(path) / per:.3f}", str(len(loads)), str(spills), *("unknown" if x is None else f"{x / per:.3f}" for x in modelled)]
    print("| " + " | ".join([name, *cells]) + " |")


def show_kernel(functions, name, symbol, instruction, rows, outputs, share, options):
    bodies = [body for function, body in functions if re.search(symbol, function) and count(body, {instruction})]
    if not bodies:
        print(f"| {name} | not there |")
        return
    wanted = rows * outputs * BLOCK / share
    path = block_path(bodies[0], wanted)
    if products(path) != wanted:
        sys.exit(f"{name}: {products(path)} products on the path through a block, not {wanted:.0f}")
    show(name, path, rows * outputs * BLOCK, options)


def show_kleidiai(options):
    folder = pathlib.Path(options.kleidiai)
    with tempfile.TemporaryDirectory() as work:
        for name, kernel, *numbers in KLEIDIAI_KERNELS:
            for source in sorted(folder.rglob(f"{KLEIDIAI}{kernel}_asm.S")) or sorted(folder.rglob(f"{KLEIDIAI}{kernel}.c")):
                made = f"{work}/{kernel}.o"
                subprocess.run([options.compiler, "-O3", "-march=armv8.2-a+dotprod+i8mm", f"-I{folder}", "-c", source, "-o", made], check=True)
                body = [x for _, part in read_functions(made, options.objdump) for x in part]   # labels stand between parts
                show_kernel([(kernel, body)], f"KleidiAI, {name}", kernel, *numbers, options)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--mca", default="llvm-mca-14")
    parser.add_argument("--objdump", default="aarch64-linux-gnu-objdump")
    parser.add_argument("--cores", default=CORES, type=lambda text: text.split(","))
    parser.add_argument("--loops", type=re.compile)
    parser.add_argument("--kleidiai", metavar="FOLDER")
    parser.add_argument("--compiler", default="aarch64-linux-gnu-gcc")
    options = parser.parse_args()
    functions = read_functions(options.program, options.objdump)
    print("| " + " | ".join(["", "instructions", "loads", "spills", *options.cores]) + " |\n" + "|---" * (4 + len(options.cores)) + "|")
    if options.loops:
        for name, body in functions:
            if not options.loops.search(name):
                continue
            loops = find_loops(body)
            for begin, end in loops:
                if not any(begin <= other[0] and other[1] <= end and other != (begin, end) for other in loops):
                    show(f"{name.split('(')[0][-40:]} +{body[begin].address - body[0].address}", body[begin:end + 1], 1, options)
        return
    for kernel in KERNELS:
        show_kernel(functions, *kernel, options)
    if options.kleidiai:
        show_kleidiai(options)


if __name__ == "__main__":
    main()
