#!/usr/bin/env python3
"""Compares what `fastalloc advise` expects of a pool with what comes of it, for three programs.

Records each program of crates/fastalloc-cli/examples without pools, asks for advice, and then runs it without and with
the pools, in turn. Prints a table: what the replay says that an object takes less, and what the program takes less.

Needs cargo on Linux, and a C compiler. On a machine that does nothing else; --quick shows that it works.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Program, steps when it is recorded, steps when it is timed. In each an object is allocated and one is freed.
PROGRAMS = [("particles", 300_000, 5_000_000), ("requests", 200_000, 1_000_000), ("messages", 200_000, 3_000_000)]


def build():
    command = ["cargo", "build", "--release", "--package", "fastalloc-cli", "--bins", "--examples"]
    subprocess.run(command, cwd=ROOT, check=True)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def advise(program, command):
    """Records a program, and returns the advice for the call site with most objects."""
    output = subprocess.run(
        [program, "advise", "--json", "--quiet", "--", *command], check=True, stdout=subprocess.PIPE
    ).stdout
    return max(json.loads(output)["advice"], key=lambda row: row["advice"]["objects"])


def seconds(program, kind, steps):
    output = subprocess.run([program, kind, str(steps)], check=True, stdout=subprocess.PIPE, text=True).stdout
    nanoseconds, result = output.split()
    return int(nanoseconds), result


def measure(program, steps, rounds):
    """Returns nanoseconds for a step, of each round: without and with pools."""
    times = {"heap": [], "pools": []}
    results = set()
    for _ in range(rounds):
        for kind, of_kind in times.items():
            nanoseconds, result = seconds(program, kind, steps)
            of_kind.append(nanoseconds / steps)
            results.add(result)
    if len(results) != 1:
        sys.exit(f"{program.name}: with pools it comes to something else: {results}")
    return times["heap"], times["pools"]


def row(programs, name, recorded, steps, rounds):
    advice = advise(programs / "fastalloc", [programs / "examples" / name, "heap", str(recorded)])
    heap, pools = measure(programs / "examples" / name, steps, rounds)
    [heap, pools, saved] = map(statistics.median, [heap, pools, [h - p for h, p in zip(heap, pools)]])
    gain = advice["gain"]
    verdict = advice["advice"]["verdict"]
    if "pool" in verdict:
        advised = f"{verdict['pool']['kind']}, {verdict['pool']['capacity']}"
    else:
        advised = f"none: {verdict['do_not_pool']['reason']}"
    predicted = f"{gain['heap']['median'] - gain['pool']['median']:.1f}" if gain else ""
    return [name, advised, predicted, f"{saved:.1f}", f"{heap:.1f}", f"{pools:.1f}", f"{100 * saved / heap:.0f} %"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few steps, few rounds")
    arguments = parser.parse_args()
    programs = build()
    rounds = 3 if arguments.quick else 11
    header = ["program", "advised pool", "expected: ns less", "found: ns less", "ns on the heap", "in pools", "less"]
    rows = [header, ["---"] * 2 + ["---:"] * (len(header) - 2)]
    for name, recorded, steps in PROGRAMS:
        steps = steps // 10 if arguments.quick else steps
        rows.append(row(programs, name, recorded, steps, rounds))
    for cells in rows:
        print("| " + " | ".join(cells) + " |")
    print("\nMedians, for a step of the program, which allocates an object and frees one; `messages` is pooled against")
    print("the advice. What is expected is from a replay of the call site alone.")


if __name__ == "__main__":
    main()
