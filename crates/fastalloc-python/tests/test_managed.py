"""Objects that can go bad."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import pytest

from fastalloc import AsyncPool, FixedPool, GrowingPool, PoolEmptyError, ThreadSafePool
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
    import sys

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
    import sys

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
