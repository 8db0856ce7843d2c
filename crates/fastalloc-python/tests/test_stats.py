"""Statistics."""

from __future__ import annotations

from typing import Any

import pytest

from fastalloc import FixedPool, GrowingPool, StatsCollector, StatsReporter, ThreadLocalPool
from fastalloc.config import linear_growth

from .conftest import Thing

KEYS = {
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
    "avg_allocation_time_ns",
    "avg_release_time_ns",
}


def test_what_happens_is_counted(sync_pool: Any) -> None:
    pool = sync_pool(Thing, 4, reset_method="reset", enable_statistics=True)
    for _ in range(3):
        with pool.allocate() as first:
            second = pool.get()
            assert first is not second
            pool.release(second)
    stats = pool.stats()
    counted = stats.snapshot()
    assert set(counted) == KEYS
    assert counted["total_allocations"] == counted["total_releases"] == counted["total_resets"] == 6
    assert (counted["peak_in_use"], counted["current_in_use"]) == (2, 0)
    assert (counted["peak_capacity"], counted["current_capacity"]) == (4, 4)
    assert counted["total_allocation_time_ns"] > 0
    assert counted["total_release_time_ns"] > 0


def test_without_statistics_only_what_is_in_use_is_known(any_pool: Any) -> None:
    pool = any_pool(Thing, 4)
    held = pool.get()
    counted = pool.stats().snapshot()
    assert counted.pop("current_in_use") == 1
    assert set(counted.values()) == {0}
    pool.release(held)


def test_growth_is_counted() -> None:
    pool = GrowingPool(Thing, 1, growth_config=linear_growth(2), enable_statistics=True)
    held = [pool.get() for _ in range(4)]
    stats = pool.stats()
    assert (stats.growth_events, stats.current_capacity, stats.peak_capacity, stats.peak_in_use) == (2, 5, 5, len(held))


def test_statistics_stay_up_to_date() -> None:
    pool = FixedPool(Thing, 2, enable_statistics=True)
    stats = pool.stats()
    pool.release(pool.get())
    assert stats.total_allocations == 1
    assert stats == pool.stats()
    stats.reset()
    assert pool.stats().total_allocations == 0


def test_statistics_of_a_pool_cannot_be_changed() -> None:
    stats = FixedPool(Thing, 2, enable_statistics=True).stats()
    with pytest.raises(AttributeError):
        stats.total_allocations = 3
    calls: list[Any] = [stats.record_allocation, stats.record_reset, lambda: stats.merge(stats)]
    for call in calls:
        with pytest.raises(TypeError):
            call()
    total = StatsCollector()
    total.merge(stats)
    assert total.total_allocations == 0


def test_times_are_estimates_for_all_calls() -> None:
    pool = FixedPool(Thing, 1, enable_statistics=True)
    averages = []
    for _ in range(1_000):
        pool.release(pool.get())
        averages.append(pool.stats().snapshot()["avg_allocation_time_ns"])
    assert all(0 < average < 1_000_000_000 for average in averages)


def test_a_collector_of_ones_own() -> None:
    collector = StatsCollector()
    collector.record_allocation(10)
    collector.record_allocation()
    collector.record_release(4)
    collector.record_reset()
    collector.record_growth(9)
    counted = collector.snapshot()
    assert counted["avg_allocation_time_ns"] == 5
    assert (counted["peak_in_use"], counted["current_in_use"], counted["current_capacity"]) == (2, 1, 9)
    quiet = StatsCollector(enabled=False)
    quiet.record_allocation()
    quiet.record_growth(4)
    quiet.merge(collector)
    assert quiet.snapshot()["current_in_use"] == 1
    assert sum(quiet.snapshot().values()) == 1
    collector.reset()
    assert set(collector.snapshot().values()) == {0}


def test_reports(capsys: pytest.CaptureFixture[str]) -> None:
    pool = ThreadLocalPool(Thing, 2, enable_statistics=True)
    held = pool.get()
    reporter = StatsReporter(pool.stats())
    assert reporter.summary() == "allocs=1 releases=0 in_use=1/2 peak=1"
    assert set(reporter.to_dict()) == KEYS
    reporter.print_report()
    assert capsys.readouterr().out == reporter.to_text() + "\n"
    pool.release(held)
