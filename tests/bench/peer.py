#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed of graft beside llama.cpp: both run in turn on the same machine, medians of several rounds.

  ./run bench --peer [OPTIONS] MODEL.graft=MODEL.gguf...

Each pair is one model in the two formats, at the bits that are to be compared. A round runs every measurement of a pair once with
each program, one directly after the other, and each round the other program goes first. What is measured: decoding --generate tokens
from an empty context, prefill of each --prompt, and decoding after --depth tokens of context.

llama-bench is not part of graft: build llama.cpp, or install it, and name the program with --llama-bench or LLAMA_BENCH. That may be
several words, such as "chroot DIR llama-bench"; files are passed with absolute paths.
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys


def parse_arguments():
    parser = argparse.ArgumentParser(prog="./run bench --peer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="MODEL.graft=MODEL.gguf")
    parser.add_argument("--graft-run", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--llama-bench", default=os.environ.get("LLAMA_BENCH", "llama-bench"), metavar="COMMAND",
                        help="default: $LLAMA_BENCH, else llama-bench")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default 5")
    parser.add_argument("--threads", default="1,2", metavar="N,N", help="default 1,2")
    parser.add_argument("--prompt", default="128,512", metavar="N,N", help="default 128,512")
    parser.add_argument("--generate", type=int, default=64, metavar="N", help="default 64")
    parser.add_argument("--depth", type=int, default=2048, metavar="N", help="default 2048; 0: not measured")
    parser.add_argument("--depth-threads", default=None, metavar="N,N", help="default: as --threads")
    parser.add_argument("--json", metavar="FILE", help="also write every single measurement to FILE")
    arguments = parser.parse_args()
    try:
        arguments.threads = [int(n) for n in arguments.threads.split(",")]
        arguments.prompt = [int(n) for n in arguments.prompt.split(",") if int(n) > 0]
        arguments.depth_threads = arguments.threads if arguments.depth_threads is None else [int(n) for n in arguments.depth_threads.split(",")]
    except ValueError:
        parser.error("--threads, --prompt and --depth-threads take whole numbers, separated by commas")
    if arguments.rounds < 1 or arguments.generate < 1 or min(arguments.threads + arguments.depth_threads) < 1:
        parser.error("--rounds, --generate and --threads must be at least 1")
    for pair in arguments.pairs:
        files = pair.split("=")
        if len(files) != 2:
            parser.error(f"{pair} is no pair MODEL.graft=MODEL.gguf")
        for file in files:
            if not os.path.isfile(file):
                parser.error(f"{file} is not there")
    return arguments


def run(command):
    """Standard output of a command, parsed as JSON."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        sys.exit(f"peer: cannot run {command[0]}: {error.strerror}")
    if done.returncode != 0:
        sys.exit(f"peer: {shlex.join(command)} failed:\n{done.stderr.strip()[-2000:]}")
    try:
        return json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.exit(f"peer: {shlex.join(command)} printed no JSON:\n{done.stdout[-500:]}")


class Graft:
    name = "graft"

    def __init__(self, program, file):
        self.command = [program, "bench", file, "--json", "-r", "1"]

    def decode(self, threads, tokens, depth):
        report = run(self.command + ["-p", "0", "-n", str(tokens), "-d", str(depth), "-t", str(threads)])
        return report["decode_tokens_per_second"], report

    def prefill(self, threads, tokens):
        report = run(self.command + ["-p", str(tokens), "-n", "0", "-t", str(threads)])
        return report["prefill_tokens_per_second"], report


class LlamaCpp:
    name = "llama.cpp"

    def __init__(self, command, file):
        self.command = shlex.split(command) + ["-m", os.path.abspath(file), "-o", "json", "-r", "1"]

    def _measure(self, arguments):
        report = run(self.command + arguments)
        if len(report) != 1:
            sys.exit(f"peer: llama-bench reported {len(report)} results for one measurement")
        return report[0]["avg_ts"], report[0]

    def decode(self, threads, tokens, depth):
        depth_arguments = ["-d", str(depth)] if depth > 0 else []
        return self._measure(["-p", "0", "-n", str(tokens), "-t", str(threads)] + depth_arguments)

    def prefill(self, threads, tokens):
        return self._measure(["-p", str(tokens), "-n", "0", "-t", str(threads)])


def measurements(arguments):
    """(title, threads, function of a program) for everything that one round measures."""
    for threads in arguments.threads:
        yield (f"decode {arguments.generate}", threads, lambda program, t=threads: program.decode(t, arguments.generate, 0))
        for tokens in arguments.prompt:
            yield (f"prefill {tokens}", threads, lambda program, t=threads, n=tokens: program.prefill(t, n))
    if arguments.depth > 0:
        for threads in arguments.depth_threads:
            yield (f"decode after {arguments.depth}", threads,
                   lambda program, t=threads: program.decode(t, min(32, arguments.generate), arguments.depth))


def spread(rates):
    return f"{statistics.median(rates):9.1f} ({min(rates):.1f} to {max(rates):.1f})"


def main():
    arguments = parse_arguments()
    log = []
    print(f"{arguments.rounds} rounds in turn, medians (lowest to highest) in tok/s; load average at the start {os.getloadavg()[0]:.2f}")
    for pair in arguments.pairs:
        graft_file, gguf_file = pair.split("=")
        programs = [Graft(arguments.graft_run, graft_file), LlamaCpp(arguments.llama_bench, gguf_file)]
        rates, bandwidth = {}, {}
        for number in range(arguments.rounds):
            for title, threads, measure in measurements(arguments):
                order = programs if number % 2 == 0 else programs[::-1]
                for program in order:
                    rate, report = measure(program)
                    rates.setdefault((title, threads), {}).setdefault(program.name, []).append(rate)
                    if report.get("read_bandwidth_share"):
                        bandwidth.setdefault((title, threads), []).append(report["read_bandwidth_share"])
                    log.append({"pair": pair, "round": number, "what": title, "threads": threads, "program": program.name,
                                "tokens_per_second": rate, "load_average": os.getloadavg()[0], "report": report})
        print(f"\n{os.path.basename(graft_file)} against {os.path.basename(gguf_file)}")
        print(f"{'':18} {'threads':>7}  {'graft':<30} {'llama.cpp':<30} {'ratio':>6}  of read bandwidth")
        for (title, threads), of_program in rates.items():
            ratio = statistics.median(of_program["graft"]) / statistics.median(of_program["llama.cpp"])
            share = bandwidth.get((title, threads))
            share_text = f"{100 * statistics.median(share):.0f} %" if share else ""
            print(f"{title:18} {threads:7}  {spread(of_program['graft']):<30} {spread(of_program['llama.cpp']):<30} {ratio:6.2f}  {share_text}",
                  flush=True)
    print(f"\nload average at the end {os.getloadavg()[0]:.2f}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(log, file, indent=1)


if __name__ == "__main__":
    main()
