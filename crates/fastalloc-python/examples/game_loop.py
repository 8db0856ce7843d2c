#!/usr/bin/env python3
"""A game loop: what short-lived objects cost in pauses of the garbage collector, with a pool and without.

    python examples/game_loop.py [FRAMES] [PARTICLES]
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable

from fastalloc import FixedPool


class Particle:
    """A spark that lives for some frames."""

    def __init__(self) -> None:
        self.x = self.y = 0.0
        self.dx = self.dy = 0.0
        self.frames_left = 0
        self.trail: list[float] = []


class Pauses:
    """The time that the garbage collector takes."""

    def __init__(self) -> None:
        self.milliseconds: list[float] = []
        self._start = 0.0

    def __call__(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._start = time.perf_counter()
        else:
            self.milliseconds.append((time.perf_counter() - self._start) * 1e3)


def play(frames: int, particles: int, make: Callable[[], Particle], part_with: Callable[[Particle], object]) -> list[float]:
    """Milliseconds of each frame. The particles of a frame live until the frame after the next."""
    spent = []
    alive: list[list[Particle]] = []
    for frame in range(frames):
        start = time.perf_counter()
        sparks = []
        for number in range(particles):
            spark = make()
            spark.x, spark.y, spark.dx, spark.dy = 0.0, 0.0, number * 0.1, frame * 0.1
            spark.trail.clear()
            sparks.append(spark)
        alive.append(sparks)
        for each in alive:
            for spark in each:
                spark.x += spark.dx
                spark.y += spark.dy
                spark.trail.append(spark.x)
        if len(alive) == 3:
            for spark in alive.pop(0):
                part_with(spark)
        spent.append((time.perf_counter() - start) * 1e3)
    return spent


def main(frames: int = 300, particles: int = 1000) -> None:
    """The program."""
    # What else is in the game, which the collector has to look at.
    world = [[number] for number in range(50 * particles)]
    pool = FixedPool(Particle, 3 * particles, pre_initialize=True)
    ways: dict[str, tuple[Callable[[], Particle], Callable[[Particle], object]]] = {
        "created": (Particle, id),
        "pooled": (pool.get, pool.release),
    }
    print(f"{'':8} {'median frame':>14} {'worst frame':>14} {'collections':>12} {'in pauses':>12}")
    for name, (make, part_with) in ways.items():
        gc.collect()
        pauses = Pauses()
        gc.callbacks.append(pauses)
        spent = sorted(play(frames, particles, make, part_with))
        gc.callbacks.remove(pauses)
        print(
            f"{name:8} {spent[len(spent) // 2]:11.3f} ms {spent[-1]:11.3f} ms {len(pauses.milliseconds):12} "
            f"{sum(pauses.milliseconds):9.3f} ms"
        )
    assert len(world) == 50 * particles


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
