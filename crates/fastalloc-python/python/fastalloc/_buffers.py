"""What a `BufferPool` leaves to Python: its settings, and its statistics."""

from __future__ import annotations

import operator
import sys
from dataclasses import dataclass, field

from .exceptions import InvalidCapacityError, PoolConfigurationError
from .stats.collector import StatsCollector


def configure(
    max_bytes: int | None = None,
    *,
    max_idle_bytes: int | None = None,
    alignment: int = 64,
    zero: object = False,
    enable_statistics: object = False,
) -> tuple[int, int, int, bool, bool]:
    """Check the settings, and return what the native part wants to know, in its order."""
    alignment = operator.index(alignment)
    if alignment <= 0 or alignment & (alignment - 1) or alignment > sys.maxsize:
        raise PoolConfigurationError(f"alignment must be a power of two, such as 64 or 4096, got {alignment}")
    return (
        _limit("max_bytes", max_bytes, 1),
        _limit("max_idle_bytes", max_idle_bytes, 0),
        alignment,
        bool(zero),
        bool(enable_statistics),
    )


def _limit(name: str, value: int | None, least: int) -> int:
    """A number of bytes; -1 stands for no limit."""
    if value is None:
        return -1
    value = operator.index(value)
    if value < least:
        raise InvalidCapacityError(value, f"{name} must be None or at least {least}, got {value}")
    return min(value, sys.maxsize)


@dataclass
class BufferStatistics(StatsCollector):
    """What a `BufferPool` had done when it was asked.

    Capacities are blocks of memory, growth is a block got from the system, and a reset is a buffer that was zeroed. Times
    are measured for one call in 16, and are estimates for all of them.
    """

    bytes_in_use: int = field(default=0, init=False)
    bytes_idle: int = field(default=0, init=False)
    peak_bytes: int = field(default=0, init=False)
    deferred: int = field(default=0, init=False)

    def snapshot(self) -> dict[str, int]:
        """All counters and averages."""
        return {**super().snapshot(), **{name: getattr(self, name) for name in _NAMES[10:]}}


_NAMES = (
    "total_allocations",
    "total_releases",
    "total_resets",
    "growth_events",
    "peak_in_use",
    "peak_capacity",
    "current_in_use",
    "current_capacity",
    "total_allocation_time_ns",
    "total_release_time_ns",
    "bytes_in_use",
    "bytes_idle",
    "peak_bytes",
    "deferred",
)
# Without statistics only what is now is known, as with the other pools.
_ALWAYS = {"current_in_use", "bytes_in_use", "bytes_idle"}


def stats(enabled: bool, counted: list[int]) -> BufferStatistics:
    """The statistics of a pool."""
    statistics = BufferStatistics(enabled)
    for name, value in zip(_NAMES, counted, strict=True):
        if enabled or name in _ALWAYS:
            setattr(statistics, name, value)
    return statistics
