#!/usr/bin/env python3
"""Compares buffers of a BufferPool with memory that is allocated anew.

    python bench/buffers.py [--rounds 50] [--check]

Run it with the Python that has this package, and NumPy. The candidates take turns, and of each the fastest round counts:
others were disturbed. What is compared between machines is ratios: how many times as long as the pool something takes.

"untouched" is to have the memory and no more; "written" is to write each byte of it once, which is when the system makes
its pages. Here each candidate has one size and gives its memory back at once, so that the C library has the same memory
again for what is not too large: `np.empty` is at its best. --check fails unless the pool is faster where it is meant to be.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fastalloc import BufferPool

SIZES = {"4 KiB": 4 << 10, "64 KiB": 64 << 10, "1 MiB": 1 << 20, "16 MiB": 16 << 20}
POOL = "pool.get"
# What is done for the memory; what is to be written to is an array of NumPy in all cases.
UNTOUCHED = {
    POOL: "b = pool.get(n); b.release()",
    "with pool.get": "with pool.get(n): pass",
    "pool.get, zero=True": "b = zeroing.get(n); b.release()",
    "bytearray": "b = bytearray(n)",
    "np.empty": "b = np.empty(n, np.uint8)",
    "np.zeros": "b = np.zeros(n, np.uint8)",
}
WRITTEN = {
    POOL: "b = np.frombuffer(pool.get(n), np.uint8); b[:] = 1; del b",
    "pool.get, zero=True": "b = np.frombuffer(zeroing.get(n), np.uint8); b[:] = 1; del b",
    "bytearray": "b = np.frombuffer(bytearray(n), np.uint8); b[:] = 1; del b",
    "np.empty": "b = np.empty(n, np.uint8); b[:] = 1; del b",
    "np.zeros": "b = np.zeros(n, np.uint8); b[:] = 1; del b",
}
# What must hold for 64 KiB and more: the pool takes at most so much of the time.
TARGETS = [
    ("untouched", UNTOUCHED, "bytearray", 1 / 5),
    ("untouched", UNTOUCHED, "np.empty", 1 / 1.5),
    ("untouched", UNTOUCHED, "np.zeros", 1 / 1.5),
    ("written", WRITTEN, "bytearray", 1),
]


def compile_statement(statement: str, size: int) -> Callable[[int], float]:
    """A function that returns nanoseconds per execution."""
    source = (
        "def run(count):\n numbers = range(count)\n start = clock()\n"
        f" for _ in numbers:\n  {statement}\n return (clock() - start) / count\n"
    )
    names: dict[str, Any] = {
        "pool": BufferPool(),
        "zeroing": BufferPool(zero=True),
        "n": size,
        "np": np,
        "clock": time.perf_counter_ns,
    }
    exec(source, names)
    return names["run"]  # type: ignore[no-any-return]


def measure(statements: dict[str, str], size: int, rounds: int) -> dict[str, float]:
    """Nanoseconds of each."""
    compiled = {name: compile_statement(statement, size) for name, statement in statements.items()}
    counts: dict[str, int] = {}
    for name, run in compiled.items():
        # As many as take half a millisecond, in which a busy machine may leave them alone.
        counts[name] = max(1, min(20_000, int(5e5 / max(run(3), run(3), 1))))
    times: dict[str, float] = {}
    for _ in range(rounds):
        for name, run in compiled.items():
            spent = run(counts[name])
            times[name] = min(times.get(name, spent), spent)
    return times


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--check", action="store_true", help="fail unless the targets are met")
    options = parser.parse_args()
    print(
        f"Python {platform.python_version()}, NumPy {np.__version__}, {platform.machine()}, "
        f"least of {options.rounds} rounds; ratios are to {POOL}"
    )
    results: dict[tuple[str, str], dict[str, float]] = {}
    for title, statements in (("untouched", UNTOUCHED), ("written", WRITTEN)):
        print(f"\n{title:24}" + "".join(f"{size:>14} {'ratio':>9}" for size in SIZES))
        for size, nbytes in SIZES.items():
            print(f"\rmeasuring {size}", end="", file=sys.stderr, flush=True)
            results[title, size] = measure(statements, nbytes, options.rounds)
        print("\r" + " " * 20 + "\r", end="", file=sys.stderr)
        for name in statements:
            cells = [(results[title, size][name], results[title, size][POOL]) for size in SIZES]
            print(f"{name:24}" + "".join(f"{spent:11,.0f} ns {spent / ours:9,.1f}" for spent, ours in cells))
    missed = 0
    for title, _, name, limit in TARGETS:
        for size, nbytes in SIZES.items():
            ratio = results[title, size][POOL] / results[title, size][name]
            if nbytes >= 64 << 10 and ratio > limit:
                missed += 1
                print(f"MISSED: {title}, {size}: the pool takes {ratio:.2f} of {name}, more than {limit:.2f}")
    return int(options.check and missed > 0)


if __name__ == "__main__":
    sys.exit(main())
