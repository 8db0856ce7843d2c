"""What every pool promises."""

from __future__ import annotations

import gc
import inspect
import sys
import weakref
from contextlib import ExitStack
from typing import Any

import pytest

from fastalloc import (
    AlreadyReleasedError,
    AsyncPool,
    FixedPool,
    GrowingPool,
    InvalidCapacityError,
    PoolBuilder,
    PoolClosedError,
    PoolEmptyError,
    ThreadLocalPool,
    ThreadSafePool,
    TypeMismatchError,
)
from fastalloc.handle import ContextHandle
from fastalloc.pool import BasePool

from .conftest import Thing


def test_objects_are_made_when_needed_and_reused_last_first(any_pool: Any) -> None:
    pool = any_pool(Thing, 3)
    assert (pool.capacity(), pool.size(), pool.available(), pool.is_closed()) == (3, 0, 0, False)
    first, second = pool.get(), pool.get()
    assert first is not second
    assert (pool.size(), pool.available()) == (2, 0)
    pool.release(first)
    pool.release(second)
    assert (pool.size(), pool.available()) == (0, 2)
    assert pool.get() is second
    assert pool.get() is first
    assert pool.get() not in (first, second)


def test_a_pool_that_is_made_eagerly_has_all_objects(any_pool: Any) -> None:
    made: list[Thing] = []

    def factory() -> Thing:
        made.append(Thing())
        return made[-1]

    pool = any_pool(Thing, 5, factory=factory, pre_initialize=True)
    assert pool.available() == 5
    assert len(made) == 5
    assert pool.get() is made[-1]


def test_arguments_are_those_of_version_0_1(any_pool: Any) -> None:
    any_pool(obj_type=Thing, capacity=2, factory=Thing, reset_method="reset", enable_statistics=True, pre_initialize=True)
    with pytest.raises(TypeError):
        any_pool(Thing)
    with pytest.raises(TypeError):
        any_pool(Thing, 2, Thing)
    with pytest.raises(TypeError):
        any_pool(Thing, 2, colour="red")


def test_arguments_can_be_inspected_and_errors_name_the_pool(any_pool: Any) -> None:
    parameters = inspect.signature(any_pool).parameters
    assert list(parameters)[:2] == ["obj_type", "capacity"]
    for name, parameter in list(parameters.items())[2:]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        any_pool(Thing, 2, **{name: parameter.default})
    assert ("max_capacity" in parameters) == (any_pool not in (FixedPool, ThreadLocalPool))
    assert ("validate" in parameters) == (any_pool is not ThreadLocalPool)
    assert any_pool.__doc__.startswith("A pool ")
    name = any_pool.__name__
    wrong: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((Thing,), {}),
        ((Thing, 2, Thing), {}),
        ((Thing, 2), {"colour": "red"}),
        ((Thing, 2), {"_max_capacity": 4}),
        ((Thing, 2), {"_growth_config": None}),
        ((Thing, 2), {"_is_async": True}),
        ((Thing, 2), {"is_async": True}),
    ]
    for arguments, keywords in wrong:
        with pytest.raises(TypeError, match=rf"^{name}\(\) "):
            any_pool(*arguments, **keywords)


@pytest.mark.parametrize("capacity", [0, -1, 1.5, "3", None])
def test_a_capacity_that_is_none_is_refused(any_pool: Any, capacity: Any) -> None:
    with pytest.raises(InvalidCapacityError) as caught:
        any_pool(Thing, capacity)
    assert caught.value.capacity == capacity
    with pytest.raises(ValueError):
        any_pool(Thing, capacity)


def test_a_capacity_beyond_all_memory_is_an_error_and_not_a_crash(any_pool: Any) -> None:
    with pytest.raises(InvalidCapacityError, match="2\\*\\*32"):
        any_pool(Thing, 2**40)
    assert any_pool(Thing, True).capacity() == 1


def test_an_exhausted_pool_says_so_and_is_unchanged(any_pool: Any) -> None:
    settings = {"max_capacity": 3} if any_pool is GrowingPool else {}
    pool = any_pool(Thing, 2, **settings)
    held = [pool.get() for _ in range(3 if settings else 2)]
    for _ in range(3):
        with pytest.raises(PoolEmptyError):
            pool.get()
    assert (pool.size(), pool.available()) == (len(held), 0)
    pool.release(held[0])
    assert pool.get() is held[0]


def test_an_object_that_is_not_out_is_refused(any_pool: Any) -> None:
    pool = any_pool(Thing, 3)
    thing = pool.get()
    pool.release(thing)
    with pytest.raises(AlreadyReleasedError):
        pool.release(thing)
    with pytest.raises(AlreadyReleasedError):
        pool.release(Thing())
    with pytest.raises(TypeMismatchError) as caught:
        pool.release("thing")
    assert (caught.value.expected_type, caught.value.actual_type) == (Thing, str)
    assert (pool.size(), pool.available()) == (0, 1)


def test_an_object_of_another_pool_is_refused(any_pool: Any) -> None:
    pool, other = any_pool(Thing, 3), any_pool(Thing, 3)
    thing = other.get()
    with pytest.raises(AlreadyReleasedError):
        pool.release(thing)
    other.release(thing)


def test_reset_runs_before_an_object_is_handed_out(any_pool: Any) -> None:
    pool = any_pool(Thing, 1, reset_method="reset", enable_statistics=True)
    for count in range(1, 4):
        thing = pool.get()
        assert thing.resets == count
        pool.release(thing)
        assert thing.resets == count
    assert pool.stats().total_resets == 3


def test_a_closed_pool_hands_out_nothing_and_takes_everything_back(any_pool: Any) -> None:
    pool = any_pool(Thing, 3, pre_initialize=True)
    thing, held = pool.get(), pool.get()
    gone = weakref.ref(thing)
    pool.close()
    pool.close()
    assert pool.is_closed()
    assert pool.available() == 0
    for call in (pool.get, pool.allocate):
        with pytest.raises(PoolClosedError):
            call()
    pool.release(thing)
    del thing
    assert gone() is None, "a closed pool keeps no objects"
    with pytest.raises(TypeMismatchError):
        pool.release(1)
    pool.release(held)
    assert pool.size() == 0


def test_with_gives_back_whatever_happens(sync_pool: Any) -> None:
    pool = sync_pool(Thing, 1)
    with pool.allocate() as thing:
        assert isinstance(thing, Thing)
        assert pool.size() == 1
    with pytest.raises(KeyError), pool.allocate() as again:
        assert again is thing
        raise KeyError
    assert (pool.size(), pool.available()) == (0, 1)


def test_handles_nest_and_end_in_any_order(sync_pool: Any) -> None:
    pool = sync_pool(Thing, 3)
    with pool.allocate() as a, pool.allocate() as b:
        assert a is not b
        c = pool.get()
    pool.release(c)
    assert pool.available() == 3
    with ExitStack() as stack:
        objects = {id(stack.enter_context(pool.allocate())) for _ in range(3)}
        assert len(objects) == pool.size() == 3
    assert pool.size() == 0


def test_a_handle_releases_once(sync_pool: Any) -> None:
    pool = sync_pool(Thing, 2)
    handle = pool.allocate()
    assert isinstance(handle, ContextHandle)
    assert repr(handle) == "ContextHandle(released=False)"
    thing = handle.get()
    handle.release()
    assert repr(handle) == "ContextHandle(released=True)"
    for call in (handle.release, handle.get, handle.__enter__):
        with pytest.raises(AlreadyReleasedError):
            call()
    with pytest.raises(AlreadyReleasedError):
        with handle:
            raise AssertionError("it has nothing to enter with")
    assert type(handle).__exit__(handle, None, None, None) is None
    assert pool.get() is thing


def test_an_old_handle_has_no_power_over_the_next_owner(sync_pool: Any) -> None:
    pool = sync_pool(Thing, 1)
    old = pool.allocate()
    thing = old.get()
    pool.release(thing)
    new = pool.allocate()
    assert new is not old
    assert new.get() is thing
    for call in (old.get, old.release):
        with pytest.raises(AlreadyReleasedError):
            call()
    assert pool.size() == 1
    new.release()
    assert pool.size() == 0


def test_an_object_got_through_a_handle_may_be_released_by_the_pool(sync_pool: Any) -> None:
    pool = sync_pool(Thing, 1)
    with pytest.raises(AlreadyReleasedError):
        with pool.allocate() as thing:
            pool.release(thing)
    assert (pool.size(), pool.available()) == (0, 1)
    with pool.allocate() as again:
        assert again is thing


def test_entering_by_class_works_as_exit_stacks_do_it(sync_pool: Any) -> None:
    pool = sync_pool(Thing, 1)
    handle = pool.allocate()
    cls = type(handle)
    assert isinstance(cls.__enter__(handle), Thing)
    cls.__exit__(handle, None, None, None)
    assert pool.size() == 0
    with pytest.raises(TypeError):
        cls()


def test_pools_are_generic_and_of_one_family(any_pool: Any) -> None:
    assert isinstance(any_pool(Thing, 1), BasePool)
    assert issubclass(any_pool, BasePool)
    assert any_pool[Thing].__origin__ is any_pool
    assert isinstance(any_pool.builder(), PoolBuilder)
    assert repr(any_pool(Thing, 2)).startswith(f"{any_pool.__name__}(")
    assert "capacity=2, in_use=0, available=0, closed=False" in repr(any_pool(Thing, 2))


def test_a_pool_of_a_parametrized_type(any_pool: Any) -> None:
    pool = any_pool(list[int], 2)
    assert pool.get() == []
    with pytest.raises(TypeError, match="class"):
        any_pool("Thing", 2)


def test_subclasses_may_have_other_arguments_and_attributes(sync_pool: Any) -> None:
    class Named(sync_pool):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            super().__init__(Thing, 2)
            self.name = name

    pool = Named("pool")
    assert pool.name == "pool"
    with pool.allocate() as thing:
        assert isinstance(thing, Thing)
    assert repr(pool).startswith("Named(")
    assert (pool.size(), pool.available()) == (0, 1)


def test_allocate_uses_what_a_subclass_overrides(sync_pool: Any) -> None:
    log: list[str] = []

    class Logged(sync_pool):  # type: ignore[misc]
        def get(self) -> Any:
            log.append("get")
            return super().get()

        def release(self, obj: Any) -> None:
            log.append("release")
            super().release(obj)

    with Logged(Thing, 2).allocate():
        pass
    assert log == ["get", "release"]


def test_what_a_metaclass_raises_is_not_hidden(any_pool: Any) -> None:
    class Moody(type):
        raised: type[BaseException] | None = None

        def __getattribute__(cls, name: str) -> Any:
            if Moody.raised is not None and name in ("get", "release"):
                raise Moody.raised
            return super().__getattribute__(name)

    class Pool(any_pool, metaclass=Moody):  # type: ignore[misc]
        pass

    pool = Pool(Thing, 1)
    for raised in (KeyboardInterrupt, MemoryError, AttributeError):
        Moody.raised = raised
        with pytest.raises(raised):
            pool.allocate()
        Moody.raised = None
        assert pool.size() == 0
    pool.allocate()


def test_a_pool_whose_init_was_not_called_raises(any_pool: Any) -> None:
    class Forgetful(any_pool):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

    pool = Forgetful()
    for call in (pool.get, pool.allocate, lambda: pool.release(Thing())):
        with pytest.raises((RuntimeError, AlreadyReleasedError)):
            call()
    with pytest.raises(RuntimeError, match="initialized already"):
        done = any_pool(Thing, 1)
        done.__init__(Thing, 1)


def test_a_closed_pool_stays_closed_whatever_is_initialized(any_pool: Any) -> None:
    early, late = any_pool.__new__(any_pool), any_pool(Thing, 1)
    if any_pool is ThreadLocalPool:
        early.__init__(Thing, 1)
    early.close()
    late.close()
    for pool in (early, late):
        with pytest.raises((RuntimeError, PoolClosedError)):
            pool.__init__(Thing, 1)
        assert pool.is_closed()
        with pytest.raises((RuntimeError, PoolClosedError)):
            pool.get()


def test_growth(any_pool: Any) -> None:
    if any_pool in (FixedPool, ThreadLocalPool):
        with pytest.raises(TypeError):
            any_pool(Thing, 2, max_capacity=4)
        return
    pool = any_pool(Thing, 4, max_capacity=7)
    things = [pool.get() for _ in range(5)]
    assert (pool.capacity(), pool.size(), pool.available()) == (6, 5, 1)
    things += [pool.get() for _ in range(2)]
    assert (pool.capacity(), pool.max_capacity()) == (7, 7)
    with pytest.raises(PoolEmptyError):
        pool.get()
    for thing in things:
        pool.release(thing)
    assert pool.available() == 7
    for wrong in (4, 3, 5.5, "6"):
        with pytest.raises(ValueError):
            any_pool(Thing, 4, max_capacity=wrong)


def test_pools_that_do_not_grow_unless_told() -> None:
    for cls in (ThreadSafePool, AsyncPool):
        pool: Any = cls(Thing, 1)
        held = pool.get()
        with pytest.raises(PoolEmptyError):
            pool.get()
        pool.release(held)
    unbounded = GrowingPool(Thing, 1)
    assert len([unbounded.get() for _ in range(100)]) == unbounded.capacity() == 100
    assert unbounded.max_capacity() is None


def test_many_objects_in_random_order(any_pool: Any) -> None:
    pool = any_pool(Thing, 2_000)
    for stride in (1, 7, 77, 1_999):
        things = [pool.get() for _ in range(2_000)]
        assert len({id(thing) for thing in things}) == 2_000
        for position in range(2_000):
            pool.release(things[position * stride % 2_000])
        assert (pool.size(), pool.available()) == (0, 2_000)
        del things


def test_handles_are_reused() -> None:
    pool = FixedPool(Thing, 1)
    with pool.allocate():
        pass
    before = sys.getallocatedblocks()
    for _ in range(1_000):
        with pool.allocate():
            pass
    assert sys.getallocatedblocks() - before < 50


def test_weak_references_to_pools(any_pool: Any) -> None:
    pool = any_pool(Thing, 1)
    reference = weakref.ref(pool)
    assert reference() is pool
    del pool
    gc.collect()
    assert reference() is None
