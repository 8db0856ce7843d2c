"""Counters."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, NoReturn

from .. import _native


@dataclass
class StatsCollector:
    """Counts allocations and releases, and measures how long they take."""

    enabled: bool = True

    total_allocations: int = field(default=0, init=False)
    total_releases: int = field(default=0, init=False)
    total_resets: int = field(default=0, init=False)
    growth_events: int = field(default=0, init=False)
    peak_in_use: int = field(default=0, init=False)
    peak_capacity: int = field(default=0, init=False)
    current_in_use: int = field(default=0, init=False)
    current_capacity: int = field(default=0, init=False)
    total_allocation_time_ns: int = field(default=0, init=False)
    total_release_time_ns: int = field(default=0, init=False)

    # Re-entrant: a destructor may record something while its thread does.
    _lock: RLock = field(default_factory=RLock, init=False, repr=False, compare=False)

    def record_allocation(self, duration_ns: int | None = None) -> None:
        """Count an allocation."""
        with self._lock:
            self.current_in_use += 1
            if self.enabled:
                self.total_allocations += 1
                self.peak_in_use = max(self.peak_in_use, self.current_in_use)
                self.total_allocation_time_ns += duration_ns or 0

    def record_release(self, duration_ns: int | None = None) -> None:
        """Count a release."""
        with self._lock:
            self.current_in_use = max(0, self.current_in_use - 1)
            if self.enabled:
                self.total_releases += 1
                self.total_release_time_ns += duration_ns or 0

    def record_reset(self) -> None:
        """Count a reset."""
        with self._lock:
            self.total_resets += self.enabled

    def record_growth(self, new_capacity: int) -> None:
        """Count a growth step."""
        with self._lock:
            self.growth_events += self.enabled
            self.update_capacity(new_capacity)

    def update_capacity(self, capacity: int) -> None:
        """Tell the capacity."""
        with self._lock:
            if self.enabled:
                self.current_capacity = capacity
                self.peak_capacity = max(self.peak_capacity, capacity)

    def snapshot(self) -> dict[str, int]:
        """All counters and averages as they are now."""
        with self._lock:
            return _snapshot(self)

    def merge(self, other: StatsCollector) -> None:
        """Add what another collector has counted; what is in use, and the capacity, stay as they are."""
        if not self.enabled:
            return
        counted = other.snapshot()
        with self._lock:
            for name in _SUMS:
                setattr(self, name, getattr(self, name) + counted[name])
            self.peak_in_use = max(self.peak_in_use, counted["peak_in_use"])
            self.peak_capacity = max(self.peak_capacity, counted["peak_capacity"])

    def reset(self) -> None:
        """Set all counters to zero."""
        with self._lock:
            for name in _COUNTERS:
                setattr(self, name, 0)


_COUNTERS = (
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
)
_SUMS = (
    "total_allocations",
    "total_releases",
    "total_resets",
    "growth_events",
    "total_allocation_time_ns",
    "total_release_time_ns",
)


def _snapshot(collector: StatsCollector) -> dict[str, int]:
    values: dict[str, int] = {name: getattr(collector, name) for name in _COUNTERS}
    values["avg_allocation_time_ns"] = values["total_allocation_time_ns"] // max(1, values["total_allocations"])
    values["avg_release_time_ns"] = values["total_release_time_ns"] // max(1, values["total_releases"])
    return values


class PoolStatistics(StatsCollector):
    """What a pool has done until now: attributes are always up to date.

    Times are measured for one call in 16, and are estimates for all of them.
    """

    def __init__(self, pool: Any, enabled: bool) -> None:
        object.__setattr__(self, "_pool", pool)
        object.__setattr__(self, "enabled", enabled)

    def __getattribute__(self, name: str) -> Any:
        position = _POSITIONS.get(name)
        if position is None:
            return object.__getattribute__(self, name)
        if name != "current_in_use" and not object.__getattribute__(self, "enabled"):
            return 0
        return _native.counters(object.__getattribute__(self, "_pool"))[position]

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError("the pool counts by itself: make a StatsCollector to change it")

    def snapshot(self) -> dict[str, int]:
        """All counters and averages as they are now."""
        return _snapshot(self)

    def reset(self) -> None:
        """Begin to count anew; what is in use, and the capacity, are as they are."""
        _native.reset_counters(object.__getattribute__(self, "_pool"))

    def _refuse(self, *_arguments: Any, **_keywords: Any) -> NoReturn:
        raise TypeError("the pool counts by itself: make a StatsCollector, and merge() this one into it")

    record_allocation = record_release = record_reset = record_growth = update_capacity = merge = _refuse


_POSITIONS = {
    name: position
    for position, name in enumerate(
        (
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
            "reclaimed",
            "discarded",
        )
    )
}


def now_ns() -> int:
    """A time in nanoseconds, to take differences of."""
    return time.perf_counter_ns()
