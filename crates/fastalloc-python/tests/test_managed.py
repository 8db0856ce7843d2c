"""Objects that can go bad."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from contextlib import ExitStack
from typing import Any

import pytest

from fastalloc import (
    AsyncPool,
    FixedPool,
    GrowingPool,
    PoolClosedError,
    PoolConfigurationError,
    PoolEmptyError,
    ThreadSafePool,
    _native,
)
from fastalloc.config import linear_growth
from fastalloc.handle import ContextHandle

from .conftest import Thing

MANAGED = [FixedPool, GrowingPool, ThreadSafePool, AsyncPool]


def unable_to_grow(cls: type[Any]) -> dict[str, Any]:
    """Settings with which a pool has no more than its first capacity."""
    return {"growth_config": linear_growth(1, 1)} if cls is GrowingPool else {}


@pytest.fixture(params=MANAGED, ids=lambda cls: cls.__name__)
def managed(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_an_object_that_is_not_valid_is_replaced(managed: Any) -> None:
    gone: list[Thing] = []
    pool = managed(Thing, 1, validate=lambda thing: thing.other is None, destroy=gone.append)
    first = pool.get()
    pool.release(first)
    assert pool.get() is first
    first.other = "broken"
    pool.release(first)
    second = pool.get()
    assert second is not first
    assert gone == [first]
    assert (pool.size(), pool.available()) == (1, 0)
    pool.release(second)
    pool.close()
    assert gone == [first, second]


def test_an_object_in_use_is_destroyed_when_it_comes_back_to_a_closed_pool(managed: Any) -> None:
    gone: list[Thing] = []
    pool = managed(Thing, 2, destroy=gone.append)
    held, free = pool.get(), pool.get()
    pool.release(free)
    pool.close()
    assert gone == [free]
    pool.release(held)
    assert gone == [free, held]


def test_handles_are_destroyed_like_other_objects(managed: Any) -> None:
    gone: list[Any] = []
    others = FixedPool(Thing, 3)
    pool = managed(object, 3, factory=others.allocate, destroy=gone.append, pre_initialize=True)
    with ExitStack() as stack:
        if managed is not AsyncPool:
            stack.enter_context(pool.allocate())
    pool.close()
    assert len(gone) == 3
    assert all(isinstance(each, ContextHandle) for each in gone)
    gone.clear()
    assert others.size() == 0


def test_objects_that_were_idle_or_alive_too_long_are_replaced(managed: Any) -> None:
    for limits in ({"max_idle": 0.01}, {"max_lifetime": 0.01}):
        pool = managed(Thing, 1, **limits)
        thing = pool.get()
        pool.release(thing)
        time.sleep(0.02)
        assert pool.get() is not thing
    for name in ("max_idle", "max_lifetime"):
        for wrong in (0, -1, float("nan")):
            with pytest.raises(ValueError, match=name):
                managed(Thing, 1, **{name: wrong})
    for name in ("validate", "destroy"):
        with pytest.raises(TypeError, match=name):
            managed(Thing, 1, **{name: 3})


def test_a_validation_that_raises_costs_the_object_and_not_the_slot(managed: Any) -> None:
    def validate(thing: Thing) -> bool:
        raise ZeroDivisionError

    gone: list[Thing] = []
    pool = managed(Thing, 1, validate=validate, destroy=gone.append)
    thing = pool.get()
    pool.release(thing)
    with pytest.raises(ZeroDivisionError):
        pool.get()
    assert gone == [thing]
    assert (pool.size(), pool.available()) == (0, 0)


def test_an_abandoned_object_whose_release_cannot_be_noted_is_destroyed(
    managed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastalloc._managed import Manager

    def released(manager: Manager, obj: Any) -> bool:
        raise ZeroDivisionError

    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: told.append(error.exc_type))
    monkeypatch.setattr(Manager, "released", released)
    gone: list[int] = []
    pool = managed(Thing, 1, destroy=lambda thing: gone.append(thing.resets), **unable_to_grow(managed))
    pool.get().resets = 7
    assert pool.get().resets == 0
    assert (told, gone) == ([ZeroDivisionError], [7])
    assert (pool.size(), pool.available()) == (1, 0)


def test_a_hook_may_use_its_pool(managed: Any) -> None:
    used: list[Any] = []

    def validate(thing: Thing) -> bool:
        try:
            used.append(pool.get())
        except PoolEmptyError:
            used.append(None)
        return False

    pool: Any = managed(Thing, 2, validate=validate, destroy=lambda thing: used.append(pool.size()))
    pool.release(pool.get())
    thing = pool.get()
    assert type(used[0]) is Thing
    pool.release(thing)
    pool.close()
    assert used[-1] >= 0


def test_a_destroy_that_raises_is_told_to_the_hook_for_such_errors(
    managed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: told.append(error.exc_type))

    def destroy(thing: Thing) -> None:
        raise ZeroDivisionError

    pool = managed(Thing, 3, destroy=destroy, pre_initialize=True)
    pool.close()
    assert told == [ZeroDivisionError] * 3
    assert pool.available() == 0


async def test_validation_of_what_a_task_gets() -> None:
    pool = AsyncPool(Thing, 1, validate=lambda thing: thing.other is None)
    async with pool.allocate() as first:
        pass
    first.other = "broken"
    async with pool.allocate() as second:
        assert second is not first
    assert await pool.get_async() is second


def test_idle_objects_are_made_in_advance_and_again(managed: Any) -> None:
    gone: list[Thing] = []
    pool = managed(Thing, 4, min_idle=3, max_idle=0.05, destroy=gone.append)
    assert pool.available() == 3
    held = pool.get()
    assert pool.available() == 2
    pool.maintain()
    assert (pool.size(), pool.available(), gone) == (1, 3, [])
    pool.maintain()
    assert pool.available() == 3
    time.sleep(0.06)
    fresh = pool.get()
    assert len(gone) == 1, "it had been idle too long"
    pool.release(fresh)
    pool.maintain()
    assert len(gone) == 3
    assert held not in gone and fresh not in gone
    assert (pool.size(), pool.available()) == (1, 3)
    pool.close()
    with pytest.raises(PoolClosedError):
        pool.maintain()
    for wrong in (-1, 5):
        with pytest.raises(ValueError, match="min_idle"):
            managed(Thing, 4, min_idle=wrong)
    with pytest.raises(TypeError):
        managed(Thing, 4, min_idle=1.5)
    assert managed(Thing, 4, min_idle=2, pre_initialize=True).available() == 4


def test_maintenance_keeps_the_order_of_what_is_fit(managed: Any) -> None:
    pool = managed(Thing, 5, max_lifetime=3600, pre_initialize=True)
    things = [pool.get() for _ in range(5)]
    for thing in things:
        pool.release(thing)
    manager = _native.settings(pool)[4]
    for old in (things[1], things[4]):
        manager._made[id(old)] -= 3601
    pool.maintain()
    assert [pool.get() for _ in range(3)] == [things[3], things[2], things[0]]
    assert pool.available() == 0


def test_maintenance_without_settings_only_finds_what_was_abandoned(managed: Any) -> None:
    pool = managed(Thing, 2, enable_statistics=True)
    pool.get()
    assert pool.size() == 1
    pool.maintain()
    assert (pool.size(), pool.available(), pool.stats().reclaimed) == (0, 1, 1)


def test_a_factory_that_fails_in_advance(managed: Any) -> None:
    moods = [False, False, True]

    def factory() -> Thing:
        if moods and moods.pop(0):
            raise ZeroDivisionError
        return Thing()

    pool = managed(Thing, 4, min_idle=2, factory=factory)
    held = pool.get()
    with pytest.raises(ZeroDivisionError):
        pool.maintain()
    assert (pool.size(), pool.available()) == (1, 1)
    pool.maintain()
    assert (pool.size(), pool.available()) == (1, 2)
    pool.release(held)


def test_async_objects_cannot_be_made_in_advance() -> None:
    async def factory() -> Thing:
        return Thing()

    with pytest.raises(PoolConfigurationError, match="in advance"):
        AsyncPool(Thing, 2, factory=factory, min_idle=1)


def line_here() -> int:
    return sys._getframe(1).f_lineno


def test_a_leak_is_told_with_the_place_where_the_object_was_taken(managed: Any) -> None:
    pool = managed(Thing, 1, warn_leaks=True, **unable_to_grow(managed))
    pool.release(pool.get())
    line = line_here() + 1
    pool.get()
    with pytest.warns(ResourceWarning, match=rf"Thing of a pool .* taken at {re.escape(__file__)}:{line}$") as caught:
        pool.release(pool.get())
    assert (caught[0].filename, caught[0].lineno) == (__file__, line)
    for find in (pool.maintain, pool.close):
        pool.get()
        with pytest.warns(ResourceWarning, match=f":{line_here() - 1}$"):
            find()
    pool = managed(Thing, 2, warn_leaks=True)
    pool.get()
    with pytest.warns(ResourceWarning, match=f":{line_here() - 1}$"):
        del pool


def test_a_handle_that_is_dropped_is_told(managed: Any) -> None:
    pool = managed(Thing, 1, warn_leaks=True)
    with pytest.warns(ResourceWarning, match=f":{line_here() + 1}$"):
        pool.allocate()
    if managed is ThreadSafePool:
        with pytest.warns(ResourceWarning, match=f":{line_here() + 1}$"):
            pool.allocate(timeout=1)
        with pytest.warns(ResourceWarning, match=f":{line_here() + 1}$"):
            pool.get(timeout=1)
            pool.maintain()
    assert pool.size() == 0


def test_what_is_released_is_no_leak(managed: Any) -> None:
    pool = managed(Thing, 2, warn_leaks=True)
    for _ in range(3):
        kept = pool.get()
        pool.release(kept)
        pool.allocate().release()
    held = pool.get()
    pool.maintain()
    pool.close()
    pool.release(held)
    del pool, held


async def test_leaks_of_tasks() -> None:
    async def forget() -> int:
        await pool.get_async()
        return line_here() - 1

    async def wait_and_forget() -> int:
        await pool.get_async(timeout=10)
        return line_here() - 1

    pool: AsyncPool[Thing] = AsyncPool(Thing, 1, warn_leaks=True)
    for leak in (forget, wait_and_forget):
        thing = pool.get()
        task = asyncio.create_task(leak())
        await asyncio.sleep(0)
        pool.release(thing)
        del thing
        line = await task
        with pytest.warns(ResourceWarning, match=f":{line}$"):
            pool.maintain()
    async with pool.allocate():
        pass
    pool.close()


def test_a_leak_that_is_an_error_is_told_to_the_hook_for_such_errors(
    managed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: told.append(error.exc_type))
    for _ in range(3):
        pool = managed(Thing, 1, warn_leaks=True)
        pool.get()
        del pool
    assert told == [ResourceWarning] * 3
