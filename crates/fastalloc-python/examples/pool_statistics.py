#!/usr/bin/env python3
"""How large a pool should be: let one grow under the real load, and look at what it has counted.

    python examples/pool_statistics.py [STEPS]
"""

from __future__ import annotations

import random
import sys

from fastalloc import GrowingPool, StatsReporter


class Job:
    """Something to be done."""

    def __init__(self) -> None:
        self.steps_left = 0


def main(steps: int = 20_000) -> None:
    """The program."""
    dice = random.Random(1)
    pool = GrowingPool(Job, 8, enable_statistics=True)
    running: list[Job] = []
    for step in range(steps):
        # There is twice as much to do in every other hour.
        if dice.random() < (0.2 if step // 1000 % 2 else 0.1):
            job = pool.get()
            job.steps_left = dice.randrange(1, 400)
            running.append(job)
        for job in [job for job in running if job.steps_left == 0]:
            running.remove(job)
            pool.release(job)
        for job in running:
            job.steps_left -= 1

    stats = pool.stats()
    print(StatsReporter(stats).to_text())
    print(f"at most {stats.peak_in_use} jobs at a time: FixedPool(Job, {stats.peak_in_use + stats.peak_in_use // 4})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
