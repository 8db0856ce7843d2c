#!/usr/bin/env python3
"""What the feature `stats` costs the shared pools in time, measured with and without it in turn.

    bench/statistics.py [ROUNDS]    # 12 unless told, about half a minute each

The comparison is built twice, and its groups of shared pools run with one build and with the other, in turn and
in changing order, on the same machine. For each pool it prints the minimum over the rounds of either
build and their ratio. The rows of rivals, which do not differ between the builds, show what noise is left.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

BENCH = pathlib.Path(__file__).resolve().parent
GROUPS = ["shared_alone", "two_threads/warm_loop", "two_threads/batch_64", "across_threads"]
SHOWN = ["ThreadSafePool", "LockFreePool", "Box mimalloc", "Box jemalloc"]
LIMIT = 1.05


def build(target, name, *options):
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "--bin", "compare", "--target-dir", target, *options],
        cwd=BENCH, check=True,
    )
    program = target / f"compare-{name}"
    shutil.copy(target / "release/compare", program)
    return program


def minima(program, group, folder):
    """The minimum of each shown candidate of a group in nanoseconds, by name."""
    subprocess.run([program, "--only", group, "--out", folder], capture_output=True, check=True)
    answers = json.loads((folder / "record.json").read_text())["answers"]
    rows = next(answer["rows"] for answer in answers if answer["name"] == group)
    times = {row["candidate"]: row["figures"][0]["min"] for row in rows}
    return {candidate: times[candidate] for candidate in SHOWN}


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 12
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", BENCH / "target")).resolve()
    programs = {"plain": build(target, "plain"), "stats": build(target, "stats", "--features", "stats")}
    best = {}
    for turn in range(rounds):
        print(f"\rround {turn + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        for group in GROUPS:
            for name in sorted(programs, reverse=turn % 2 == 1):
                for candidate, time in minima(programs[name], group, target / name).items():
                    key = group, candidate, name
                    best[key] = min(time, best.get(key, time))
    print(file=sys.stderr)
    worst = 0
    print(f"{'group':24} {'candidate':16} {'plain ns':>9} {'stats ns':>9} {'ratio':>6}")
    for group in GROUPS:
        for candidate in SHOWN:
            plain, stats = best[group, candidate, "plain"], best[group, candidate, "stats"]
            print(f"{group:24} {candidate:16} {plain:9.3g} {stats:9.3g} {stats / plain:6.3f}")
            if candidate.endswith("Pool"):
                worst = max(worst, stats / plain)
    print(f"worst of our pools: {worst:.3f} (at most {LIMIT:.2f} is wanted)")


main()
