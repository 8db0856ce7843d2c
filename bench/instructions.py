#!/usr/bin/env python3
"""Counts instructions of hot paths under callgrind, and compares them with the record instructions.json.

    bench/instructions.py             counts, and shows what has changed since the record
    bench/instructions.py --check     and fails if one of our own paths takes more or fewer than the record says
    bench/instructions.py --write     and writes the record
    bench/instructions.py ... --only NAME    only of paths that have this in their names; the record keeps the others

With --stats, our pools count statistics; the record has both.

A count is the total of a run less that of a run with half as many cycles, by the operations in between: starting and ending
do not count, loops and the reading of the object do. Noise does not count either, so that a difference is a
difference of the program, or of the compiler. Counts of another compiler or processor than the record's are only
held to be no more than a sixth above it.

Needs cargo with a C compiler and make for the heaps, and valgrind.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BENCH = Path(__file__).resolve().parent
RECORD = BENCH / "instructions.json"
OURS = re.compile(r".*/(FixedPool|GrowingPool|ThreadLocalPool|ThreadSafePool|LockFreePool)\b")
# What may be different: more or fewer.
TOLERANCE = 0.02
# More, with another compiler or processor.
TOLERANCE_ELSEWHERE = 1 / 6


def build(stats: bool) -> Path:
    # Without snmalloc, which would ask for a C++ compiler.
    features = ["--no-default-features", *(["--features", "stats"] if stats else [])]
    subprocess.run(["cargo", "build", "--quiet", "--release", "--locked", "--bin", "paths", *features], cwd=BENCH, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", BENCH / "target")).resolve() / "release/paths"


def total(program: Path, path: str, cycles: int) -> int:
    """The instructions of a whole run."""
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, path, str(cycles)],
        capture_output=True, text=True,
    )  # fmt: skip
    found = re.search(r"Collected *: *(\d+)", run.stderr)
    if run.returncode or not found:
        sys.exit(f"{path}: {run.stderr}")
    return int(found[1])


def count(program: Path, path: str, operations: int, cycles: int) -> float:
    # Both numbers have as many digits, because reading a longer one takes instructions.
    return round((total(program, path, 2 * cycles) - total(program, path, cycles)) / (cycles * operations), 1)


def measure(program: Path, only: str) -> dict[str, float]:
    lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()
    paths = [(name, int(operations), int(cycles)) for name, operations, cycles in (line.split("\t") for line in lines)
             if only in name]  # fmt: skip
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        counts = threads.map(lambda path: count(program, *path), paths)
        return dict(zip((name for name, _, _ in paths), counts))


def setting() -> dict[str, str]:
    def version(program: str) -> str:
        return subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.strip()

    return {"compiler": version("rustc"), "processor": platform.machine(), "valgrind": version("valgrind")}


def verdict(found: float, recorded: float | None, tolerance: tuple[float, float]) -> str:
    if recorded is None:
        return "not in the record"
    fewer, more = tolerance
    # Half an instruction is how a count is rounded, and what a loop that is aligned differently takes.
    if found > recorded * (1 + more) + 0.5:
        return "more"
    return "fewer" if found < recorded * (1 - fewer) - 0.5 else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail if our own paths are not as recorded")
    parser.add_argument("--write", action="store_true", help="write the record")
    parser.add_argument("--stats", action="store_true", help="with the feature `stats`")
    parser.add_argument("--only", metavar="NAME", default="", help="paths that have this in their names")
    args = parser.parse_args()

    variant = "stats" if args.stats else "plain"
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"counts": {}}
    recorded = record["counts"].get(variant, {})
    here = setting()
    # Valgrind counts what the processor is told to do; its own version is only for the reader.
    alike = all(record.get("setting", {}).get(key) == here[key] for key in ("compiler", "processor"))
    tolerance = (TOLERANCE, TOLERANCE) if alike else (1.0, TOLERANCE_ELSEWHERE)
    counts = measure(build(args.stats), args.only)

    failed = []
    print(f"{'path':40} {'instructions':>12} {'record':>8}")
    for name, found in counts.items():
        word = verdict(found, recorded.get(name), tolerance)
        print(f"{name:40} {found:12.1f} {recorded.get(name, ''):>8}  {word}".rstrip())
        if word and OURS.fullmatch(name):
            failed.append(name)
    gone = [name for name in recorded if args.only in name and name not in counts]
    if not alike:
        print(f"The record is of {record.get('setting')}; here is {here}: only what is far above it fails.")
    if args.write:
        kept = {name: found for name, found in recorded.items() if args.only not in name}
        record = {"setting": here, "counts": record["counts"] | {variant: kept | counts}}
        RECORD.write_text(json.dumps(record, indent=2) + "\n")
        print(f"{RECORD.relative_to(BENCH.parent)} is written")
    elif args.check and (failed or gone):
        sys.exit(f"not as recorded: {', '.join([*failed, *gone])}\nIf that is wanted, run bench/instructions.py --write, the same with "
                 "--stats, and ci/figures.py, and commit.")  # fmt: skip


if __name__ == "__main__":
    main()
