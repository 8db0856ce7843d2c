#!/usr/bin/env python3
"""Compares this package with version 0.1.1, with objects that are just created, with lists, with queues and with pondpond.

    python bench/compare.py [--published DIR] [--rounds 25] [--check] [--json FILE]

Run it with the Python that has this package. Each implementation has a process of its own; the processes take turns, case by
case and round by round, and of each case the fastest round counts: others were disturbed. What is compared between machines
is ratios. The unit is a `list.pop` with the `list.append` that gives back: two calls that do nothing.

Without --published, version 0.1.1 is downloaded. pondpond is left out unless it is installed: `pip install --group bench`.
--check fails unless the targets are met.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib.util
import json
import platform
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Name: what is done before, and what is measured. `P` is the package.
CASES: dict[str, tuple[str, str]] = {
    "get+release": ("pool = P.FixedPool(Slotted, 10, pre_initialize=True)", "o = pool.get(); pool.release(o)"),
    "with": ("pool = P.FixedPool(Slotted, 10, pre_initialize=True)", "with pool.allocate() as o: pass"),
    "ThreadSafePool get+release": (
        "pool = P.ThreadSafePool(Slotted, 10, pre_initialize=True)",
        "o = pool.get(); pool.release(o)",
    ),
    "ThreadSafePool with": ("pool = P.ThreadSafePool(Slotted, 10, pre_initialize=True)", "with pool.allocate() as o: pass"),
    "ThreadLocalPool get+release": (
        "pool = P.ThreadLocalPool(Slotted, 10, pre_initialize=True)",
        "o = pool.get(); pool.release(o)",
    ),
    "get+release, reset": (
        "pool = P.FixedPool(Slotted, 10, pre_initialize=True, reset_method='reset')",
        "o = pool.get(); pool.release(o)",
    ),
    "get+release, statistics": (
        "pool = P.FixedPool(Slotted, 10, pre_initialize=True, enable_statistics=True)",
        "o = pool.get(); pool.release(o)",
    ),
    "async with": ("pool = P.AsyncPool(Slotted, 10, pre_initialize=True)", "async with pool.allocate() as o: pass"),
    "await get_async": (
        "pool = P.AsyncPool(Slotted, 10, pre_initialize=True)",
        "o = await pool.get_async(); pool.release(o)",
    ),
}
BASELINES: dict[str, tuple[str, str]] = {
    "list.pop+append": ("free = [Slotted() for _ in range(10)]", "o = free.pop(); free.append(o)"),
    "create, 1 slot": ("", "o = Slotted()"),
    "create, 10 attributes": ("", "o = Wide()"),
    "queue.SimpleQueue": (
        "free = queue.SimpleQueue()\n for _ in range(10): free.put(Slotted())",
        "o = free.get(); free.put(o)",
    ),
    "queue.LifoQueue": ("free = queue.LifoQueue()\n for _ in range(10): free.put(Slotted())", "o = free.get(); free.put(o)"),
}
PONDPOND = "pondpond borrow+recycle"
if importlib.util.find_spec("pond"):
    BASELINES[PONDPOND] = ("pond = make_pond()", "o = pond.borrow(name='all'); pond.recycle(o, name='all')")
FRAMES = "frames of 2,000 objects"

# What must hold: in units, more than "get+release" in units, or as a ratio to something else.
TARGETS: list[tuple[str, Callable[[dict[str, dict[str, float]], float], float], float]] = [
    ("get+release, units", lambda t, u: t["now"]["get+release"] / u, 1.6),
    ("with, units", lambda t, u: t["now"]["with"] / u, 2.8),
    ("ThreadSafePool get+release, units", lambda t, u: t["now"]["ThreadSafePool get+release"] / u, 1.6),
    ("ThreadSafePool with, units", lambda t, u: t["now"]["ThreadSafePool with"] / u, 2.8),
    ("reset, units more", lambda t, u: (t["now"]["get+release, reset"] - t["now"]["get+release"]) / u, 3),
    ("statistics, units more", lambda t, u: (t["now"]["get+release, statistics"] - t["now"]["get+release"]) / u, 4),
    ("async with, units", lambda t, u: t["now"]["async with"] / u, 10),
    ("get+release, share of 0.1.1", lambda t, u: t["now"]["get+release"] / t["0.1.1"]["get+release"], 1 / 30),
    ("get+release, share of creating", lambda t, u: t["now"]["get+release"] / t["now"]["create, 1 slot"], 1),
    ("frames, share of creating", lambda t, u: t["now"][FRAMES] / t["now"][FRAMES + ", created"], 1 / 4),
    ("frames, share of 0.1.1", lambda t, u: t["now"][FRAMES] / t["0.1.1"][FRAMES], 1 / 15),
    ("frames, runs of the collector", lambda t, u: t["now"]["collections"], 0),
]


class Slotted:
    """A small object."""

    __slots__ = ("value",)

    def reset(self) -> None:
        """Nothing to do: what is measured is the call."""


class Wide:
    """An object of usual size."""

    def __init__(self) -> None:
        self.a = self.b = self.c = self.d = self.e = 0
        self.f = self.g = self.h = self.i = self.j = 0


def make_pond() -> Any:
    """A pool of pondpond with the settings that cost it least: nothing is evicted, and nothing to be done in hooks."""
    import pond

    class Factory(pond.PooledObjectFactory):
        def createInstance(self) -> Any:
            return pond.PooledObject(Slotted())

        def destroy(self, pooled_object: Any) -> None:
            pass

        def reset(self, pooled_object: Any, **_keywords: Any) -> Any:
            return pooled_object

        def validate(self, pooled_object: Any) -> bool:
            return True

    result = pond.Pond(time_between_eviction_runs=-1)
    result.register(Factory(pooled_maxsize=10), name="all")
    return result


def compile_case(before: str, statement: str) -> Callable[[int], float]:
    """A function that returns nanoseconds per execution."""
    import queue

    import fastalloc

    is_async = "await" in statement or "async" in statement
    source = (
        f"{'async ' if is_async else ''}def run(count):\n {before or 'pass'}\n numbers = range(count)\n start = clock()\n"
        f" for _ in numbers:\n  {statement}\n return (clock() - start) / count\n"
    )
    names: dict[str, Any] = {
        "P": fastalloc,
        "Slotted": Slotted,
        "Wide": Wide,
        "queue": queue,
        "make_pond": make_pond,
        "clock": time.perf_counter_ns,
    }
    exec(source, names)
    if is_async:
        return lambda count: asyncio.run(names["run"](count))
    return names["run"]  # type: ignore[no-any-return]


def frames(make: Callable[[], Any], give_back: Callable[[Any], Any], collections: list[int]) -> float:
    """Nanoseconds for each of 10 frames in which 2,000 objects live, beside a heap of 200,000."""
    heap = [[] for _ in range(200_000)]  # type: ignore[var-annotated]
    gc.collect()
    before = sum(generation["collections"] for generation in gc.get_stats())
    start = time.perf_counter_ns()
    for _ in range(10):
        objects = [make() for _ in range(2_000)]
        for each in objects:
            give_back(each)
        del objects
    spent = (time.perf_counter_ns() - start) / 10
    collections.append(sum(generation["collections"] for generation in gc.get_stats()) - before)
    del heap
    return spent


def worker() -> None:
    """Reads names of cases, and writes times."""
    import fastalloc

    compiled: dict[str, Callable[[int], float]] = {}
    pool: Any = None
    for line in sys.stdin:
        name, count = json.loads(line)
        collections: list[int] = []
        if name.startswith(FRAMES):
            if pool is None:
                pool = fastalloc.FixedPool(Wide, 2_000, pre_initialize=True)
            created = name != FRAMES
            result = frames(Wide if created else pool.get, id if created else pool.release, collections)
        else:
            if name not in compiled:
                compiled[name] = compile_case(*(CASES | BASELINES)[name])
            result = compiled[name](count)
        print(json.dumps([result, collections[0] if collections else 0]), flush=True)


class Process:
    """An implementation in a process of its own."""

    def __init__(self, folder: Path | None) -> None:
        command = [sys.executable, "-W", "ignore"]
        environment = None
        if folder is not None:
            import os

            environment = {**os.environ, "PYTHONPATH": str(folder)}
        self._process = subprocess.Popen(
            [*command, __file__, "--worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, name: str, count: int) -> tuple[float, int]:
        """Runs a case, and returns nanoseconds, and how often the collector ran."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps([name, count]), file=self._process.stdin, flush=True)
        spent, collections = json.loads(self._process.stdout.readline())
        return spent, collections

    def end(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def published(folder: Path | None) -> Any:
    """Where version 0.1.1 is."""
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=:all:", "-d", temporary]
        subprocess.run([*command, "fastalloc==0.1.1"], check=True)
        with tarfile.open(Path(temporary, "fastalloc-0.1.1.tar.gz")) as archive:
            archive.extractall(temporary, filter="data")
        yield Path(temporary, "fastalloc-0.1.1", "src")


def measure(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """The least of all rounds of all cases: implementation, case, nanoseconds."""
    processes = {"now": Process(None), "0.1.1": Process(folder)}
    plan = [(who, name, 20_000 if who == "now" else 2_000) for name in CASES for who in processes]
    plan += [("now", name, 20_000) for name in BASELINES]
    plan += [("now", FRAMES, 0), ("now", FRAMES + ", created", 0), ("0.1.1", FRAMES, 0)]
    times: dict[str, dict[str, float]] = {"now": {"collections": 0}, "0.1.1": {}}
    for number in range(rounds):
        print(f"\rround {number + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        for who, name, count in plan:
            spent, collections = processes[who].run(name, count)
            times[who][name] = min(times[who].get(name, spent), spent)
            if (who, name) == ("now", FRAMES):
                times[who]["collections"] = max(times[who]["collections"], collections)
    print("\r" + " " * 20 + "\r", end="", file=sys.stderr)
    for process in processes.values():
        process.end()
    return times


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--published", type=Path, help="folder with the package of version 0.1.1")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--check", action="store_true", help="fail unless the targets are met")
    parser.add_argument("--json", type=Path, help="write the record to this file")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker()
        return 0
    with published(options.published) as folder:
        times = measure(folder, options.rounds)
    now, before = times["now"], times["0.1.1"]
    unit = now["list.pop+append"]
    print(f"Python {platform.python_version()}, {platform.machine()}, least of {options.rounds} rounds; unit {unit:.1f} ns\n")
    print(f"{'':32} {'ns':>10} {'units':>8} {'0.1.1, ns':>10} {'times faster':>13}")
    for name in [*CASES, FRAMES]:
        print(f"{name:32} {now[name]:10,.1f} {now[name] / unit:8.2f} {before[name]:10,.0f} {before[name] / now[name]:13.1f}")
    print(f"\n{'instead of this package':32} {'ns':>10} {'units':>8} {'this is as many times faster':>31}")
    for name, ours in [*((name, "get+release") for name in BASELINES), (FRAMES + ", created", FRAMES)]:
        print(f"{name:32} {now[name]:10,.1f} {now[name] / unit:8.2f} {now[name] / now[ours]:24.1f}")
    if PONDPOND not in BASELINES:
        print("pondpond is not installed: pip install --group bench")
    print(f"\n{'target':40} {'is':>8} {'at most':>8}")
    missed = 0
    for name, value, limit in TARGETS:
        is_met = value(times, unit) <= limit
        missed += not is_met
        print(f"{name:40} {value(times, unit):8.3f} {limit:8.3f} {'' if is_met else 'MISSED'}")
    if options.json:
        record = {"python": platform.python_version(), "machine": platform.machine(), "rounds": options.rounds, "ns": times}
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    return int(options.check and missed > 0)


if __name__ == "__main__":
    sys.exit(main())
