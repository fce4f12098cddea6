#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs mask_bench over a folder of MaskBench's files, and adds up.
  mask_bench.py --program build/bench/bin/mask_bench --tokenizer FOLDER --data maskbench/data [--seconds 900] [--show OUTCOME]

What became of each file: pass; refused (the schema is not supported, or is none); validation (a text that is valid was not allowed);
invalidation (one that is not was); error (a mask could not be made); timeout or crash. --show prints the files of an outcome."""
import argparse
import collections
import json
import pathlib
import subprocess

AT_A_TIME = 200


def run(arguments, files):
    """The lines of the program for `files`; a file that ends it is left out, and the rest are run again."""
    results = []
    while files:
        batch, files = files[:AT_A_TIME], files[AT_A_TIME:]
        process = subprocess.Popen([arguments.program, arguments.tokenizer, *map(str, batch)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   text=True)
        try:
            out, _ = process.communicate(timeout=arguments.seconds)
            ended = "crash"
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
            ended = "timeout"
        lines = [json.loads(line) for line in out.splitlines() if line.endswith("}")]
        results += lines
        if len(lines) < len(batch):
            results.append({"file": str(batch[len(lines)]), "outcome": ended, "detail": "", "compile_ns": 0, "mask_ns": []})
            files = batch[len(lines) + 1:] + files
    return results


def show_times(name, times):
    times = sorted(times)
    if not times:
        return
    at = {f"{share:.1%}": times[min(len(times) - 1, int(len(times) * share))] / 1e3 for share in (0.5, 0.75, 0.95, 0.99, 0.999)}
    print(f"{name}: {len(times)}, mean {sum(times) / len(times) / 1e3:.1f} us, " + ", ".join(f"{k} {v:.1f}" for k, v in at.items()) +
          f", most {times[-1] / 1e3:.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seconds", type=float, default=900)
    parser.add_argument("--show", default="")
    arguments = parser.parse_args()
    results = run(arguments, sorted(pathlib.Path(arguments.data).glob("*.json")))
    print(dict(collections.Counter(result["outcome"] for result in results)))
    show_times("masks", [time for result in results for time in result["mask_ns"]])
    show_times("first masks", [result["compile_ns"] for result in results if result["compile_ns"] > 0])
    for result in results:
        if result["outcome"] == arguments.show:
            print(result["file"], result["detail"])


if __name__ == "__main__":
    main()
