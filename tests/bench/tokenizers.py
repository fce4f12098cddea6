#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed of graft's tokenizers beside Hugging Face's, both on one thread and on the same text.

    tokenizers.py --bench tokenizer_bench TEXT TOKENIZER_FOLDER...

A round runs both programs on every tokenizer, one directly after the other, the other one first each round; printed are medians
of all rounds and whether the ids are the same. The text comes whole, and in pieces of about 1 KB. Needs the Python package
tokenizers, in the Python that runs this or, with --python, another (such as "chroot DIR python3", where all files lie at the
same paths).
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys

THEIRS = """
import json, sys, time
from tokenizers import Tokenizer
folder, text_file, rounds, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
text = open(text_file, encoding="utf-8", newline="").read()
data = text.encode()
pieces, at = [], 0
while at < len(data):
    end = data.find(b"\\n", at + size) + 1 if size else 0
    end = end or len(data)
    pieces.append(data[at:end].decode())
    at = end
tokenizer = Tokenizer.from_file(folder + "/tokenizer.json")
tokenizer.no_truncation()
tokenizer.no_padding()
seconds = []
for _ in range(rounds):
    start = time.perf_counter()
    all_ids = [tokenizer.encode(piece, add_special_tokens=False) for piece in pieces]
    seconds.append(time.perf_counter() - start)
checksum = 0
count = 0
for encoding in all_ids:
    for i in encoding.ids:
        checksum = (checksum * 31 + i) % 4294967291
        count += 1
print(json.dumps({"ids": count, "checksum": checksum, "seconds": seconds}))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--bench", required=True, help="the program tokenizer_bench of the bench preset")
    parser.add_argument("--python", default=sys.executable, help="default: the Python that runs this")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}

    def run(command):
        return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)

    megabytes = os.path.getsize(arguments.text) / 1e6
    print(f"{'tokenizer':12} {'pieces':7} {'graft MB/s':>11} {'theirs MB/s':>12} {'ratio':>6}  ids")
    for folder in arguments.folders:
        for size in (0, 1000):
            given = [folder, arguments.text, "3", str(size)]
            programs = {"graft": [arguments.bench, *given], "theirs": [*shlex.split(arguments.python), "-c", THEIRS, *given]}
            seconds = {name: [] for name in programs}
            ids = {}
            for round_number in range(arguments.rounds):
                for name in sorted(programs, reverse=round_number % 2 == 1):
                    result = run(programs[name])
                    seconds[name] += result["seconds"]
                    ids[name] = (result["ids"], result["checksum"])
            speed = {name: megabytes / statistics.median(values) for name, values in seconds.items()}
            same = "the same" if ids["graft"] == ids["theirs"] else f"DIFFERENT: {ids}"
            print(f"{os.path.basename(folder):12} {'1 KB' if size else 'whole':7} {speed['graft']:11.2f} {speed['theirs']:12.2f} "
                  f"{speed['graft'] / speed['theirs']:6.2f}  {same}")


main()
