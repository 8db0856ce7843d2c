#!/usr/bin/env python3
"""Scratch arrays for NumPy: temporary arrays whose memory is used again, without a copy and without a release.

    python examples/numpy_scratch.py [FRAMES] [WIDTH]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from fastalloc import BufferPool

Array = np.ndarray[Any, np.dtype[np.float32]]
Scratch = Callable[[int, int], Array]

pool = BufferPool(max_bytes=256 << 20, enable_statistics=True)


def pooled(height: int, width: int) -> Array:
    """An array whose memory goes back to the pool when the array, and all arrays made from it, have gone."""
    buffer: Any = pool.get(height * width * 4)
    return np.frombuffer(buffer, np.float32).reshape(height, width)


def fresh(height: int, width: int) -> Array:
    """What everybody does."""
    return np.empty((height, width), np.float32)


def edges(image: Array, scratch: Scratch) -> float:
    """How much a picture changes from point to point, by way of three temporary arrays."""
    height, width = image.shape
    across, down, both = scratch(height - 1, width - 1), scratch(height - 1, width - 1), scratch(height - 1, width - 1)
    np.subtract(image[1:, 1:], image[1:, :-1], out=across)
    np.subtract(image[1:, 1:], image[:-1, 1:], out=down)
    np.hypot(across, down, out=both)
    return float(both.mean())


def main(frames: int = 200, width: int = 1024) -> None:
    """The program."""
    image = np.random.default_rng(1).random((width, width), np.float32)
    results = {}
    for name, scratch in {"np.empty": fresh, "pooled": pooled, "np.empty again": fresh, "pooled again": pooled}.items():
        start = time.perf_counter()
        results[name] = [edges(image, scratch) for _ in range(frames)]
        spent = (time.perf_counter() - start) / frames
        print(f"{name:15} {spent * 1e3:8.3f} ms per frame")
    assert len({value for each in results.values() for value in each}) == 1
    stats = pool.stats()
    print(f"{stats.total_allocations} arrays were made in {stats.growth_events} blocks of memory; {pool.size()} are in use")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
