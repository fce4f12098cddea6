#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed while another process takes half of one CPU, as a share of the undisturbed speed.

  half_taken.py --graft-run PROGRAM [OPTIONS] MODEL.graft[=MODEL.gguf]

Each round runs every measurement undisturbed and then disturbed, one directly after the other. With T threads on T CPUs, of which one is
half taken, (T - 1/2) / T of the speed is what work that is divided without loss keeps. The process that takes is pinned to the last CPU.
--taker shares: it always wants that CPU, so the system gives it half of the time. --taker pauses: it works for 5 ms and sleeps for 5."""
import argparse
import os
import signal
import statistics
import sys
import time

import peer

PERIOD_S = 0.010


def take(cpu, pauses):
    """Never returns."""
    os.sched_setaffinity(0, {cpu})
    while True:
        until = time.monotonic() + PERIOD_S / 2
        while time.monotonic() < until:
            pass
        if pauses:
            time.sleep(PERIOD_S / 2)


class Taker:
    """Takes from `cpu` within a with statement."""

    def __init__(self, cpu, pauses):
        self.cpu, self.pauses = cpu, pauses

    def __enter__(self):
        self.process = os.fork()
        if self.process == 0:
            try:
                take(self.cpu, self.pauses)
            finally:
                os._exit(1)
        time.sleep(0.05)

    def __exit__(self, *_):
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL.graft[=MODEL.gguf]")
    parser.add_argument("--graft-run", required=True)
    parser.add_argument("--llama-bench", default=os.environ.get("LLAMA_BENCH", "llama-bench"), metavar="COMMAND")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="default 2; the programs are held to as many CPUs")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--taker", choices=["shares", "pauses"], default="shares")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.threads < 1:
        parser.error("--rounds and --threads must be at least 1")
    return arguments


def main():
    arguments = parse_arguments()
    cpus = sorted(os.sched_getaffinity(0))[:arguments.threads]
    if len(cpus) < arguments.threads:
        sys.exit(f"half_taken: {arguments.threads} threads, but {len(cpus)} CPUs")
    os.sched_setaffinity(0, cpus)
    graft_file, _, gguf_file = arguments.model.partition("=")
    programs = [peer.Graft(arguments.graft_run, graft_file)]
    if gguf_file:
        programs.append(peer.LlamaCpp(arguments.llama_bench, gguf_file))
    rates = {}
    for _ in range(arguments.rounds):
        for program in programs:
            for what, measure in (("decode", lambda p: p.decode(arguments.threads, arguments.generate, 0)),
                                  ("prefill", lambda p: p.prefill(arguments.threads, arguments.prompt))):
                free, taken = rates.setdefault((program.name, what), ([], []))
                free.append(measure(program)[0])
                with Taker(cpus[-1], arguments.taker == "pauses"):
                    taken.append(measure(program)[0])
    kept = (arguments.threads - 0.5) / arguments.threads
    print(f"{'':20} {'undisturbed':>12} {'half taken':>12} {'share':>6}  of the {kept:.2f} possible; medians of {arguments.rounds}, tok/s")
    for (name, what), (free, taken) in rates.items():
        undisturbed, disturbed = statistics.median(free), statistics.median(taken)
        print(f"{name + ', ' + what:20} {undisturbed:12.1f} {disturbed:12.1f} {disturbed / undisturbed:6.2f}  {disturbed / undisturbed / kept:.2f}")


if __name__ == "__main__":
    main()
