"""What version 0.1.1 did wrong: a test for each line of DIFFERENCES.md."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from typing import Any

import pytest

from fastalloc import (
    AlreadyReleasedError,
    AsyncPool,
    FixedPool,
    GrowingPool,
    GrowthStrategy,
    InvalidCapacityError,
    PoolBuilder,
    PoolClosedError,
    PoolConfigurationError,
    PoolEmptyError,
    PoolTimeoutError,
    ThreadLocalPool,
    ThreadSafePool,
    TypeMismatchError,
    pooled,
)
from fastalloc.config import linear_growth
from fastalloc.handle import ContextHandle, OwnedHandle, WeakHandle

from .conftest import Thing


def run(program: str, *, timeout: float = 30) -> str:
    """Runs a program in an interpreter of its own."""
    command = [sys.executable, "-W", "error", "-X", "faulthandler", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_abandoned_objects_come_back(any_pool: Any) -> None:
    pool = any_pool(Thing, 3, enable_statistics=True, **({"max_capacity": 4} if any_pool is GrowingPool else {}))
    for _ in range(10):
        pool.get()
    assert pool.size() <= 4
    held = pool.get()
    for _ in range(10):
        assert pool.get() is not held
    if any_pool is not ThreadLocalPool:
        assert pool.stats().reclaimed >= 15


def test_a_foreign_object_is_refused_whatever_its_address(any_pool: Any) -> None:
    pool = any_pool(Thing, 2)
    pool.get()
    for _ in range(100):
        with pytest.raises(AlreadyReleasedError):
            pool.release(Thing())


def test_objects_in_use_are_not_taken_for_abandoned(any_pool: Any) -> None:
    pool = any_pool(Thing, 2, **({"max_capacity": 3} if any_pool is GrowingPool else {}))
    holder = {"thing": pool.get(), "list": [pool.get()]}
    if any_pool is GrowingPool:
        holder["third"] = pool.get()
    with pytest.raises(PoolEmptyError):
        pool.get()
    assert len(holder) >= 2


def test_a_handle_that_is_dropped_gives_its_object_back(sync_pool: Any) -> None:
    pool = sync_pool(Thing, 1)
    for _ in range(3):
        pool.allocate()
        assert (pool.size(), pool.available()) == (0, 1)
    handle = pool.allocate()
    handle.__enter__()
    del handle
    assert pool.size() == 0


def test_a_handle_in_a_cycle_gives_its_object_back(sync_pool: Any) -> None:
    pool = sync_pool(Thing, 1)
    handle = pool.allocate()
    handle.get().other = handle
    del handle
    gc.collect()
    assert pool.size() in (0, 1), "the pool refers to the object, the object to the handle, the handle to the pool"
    reference = weakref.ref(pool)
    del pool
    gc.collect()
    assert reference() is None


def test_a_reset_that_fails_costs_the_object_and_not_the_slot(any_pool: Any) -> None:
    class Moody(Thing):
        fails = False

        def reset(self) -> None:
            if self.fails:
                raise ZeroDivisionError

    pool = any_pool(Moody, 2, reset_method="reset")
    thing = pool.get()
    pool.release(thing)
    thing.fails = True
    gone = weakref.ref(thing)
    del thing
    with pytest.raises(ZeroDivisionError):
        pool.get()
    assert (pool.size(), pool.available()) == (0, 0)
    assert gone() is None
    held = [pool.get(), pool.get()]
    assert pool.size() == len(held)


def test_a_factory_that_fails_costs_nothing(any_pool: Any) -> None:
    countdown = [0, 1, 1, 0, 1]

    def factory() -> Thing:
        if countdown and countdown.pop(0):
            raise ZeroDivisionError
        return Thing()

    pool = any_pool(Thing, 2, factory=factory)
    held = [pool.get()]
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            pool.get()
        assert pool.size() == 1
    held.append(pool.get())
    assert pool.size() == 2


def test_a_growth_step_that_fails_leaves_exact_counters() -> None:
    countdown = [0, 0, 0, 0, 1]

    def factory() -> Thing:
        if countdown and countdown.pop(0):
            raise ZeroDivisionError
        return Thing()

    pool = GrowingPool(Thing, 2, factory=factory, growth_config=linear_growth(4))
    held = [pool.get(), pool.get()]
    with pytest.raises(ZeroDivisionError):
        pool.get()
    assert (pool.size(), pool.available(), pool.capacity()) == (2, 2, 6)
    held += [pool.get() for _ in range(4)]
    assert (pool.size(), pool.available(), pool.capacity()) == (6, 0, 6)
    assert len({id(thing) for thing in held}) == 6


def test_an_eager_pool_whose_factory_fails_raises(any_pool: Any) -> None:
    def factory() -> Thing:
        raise ZeroDivisionError

    if any_pool is ThreadLocalPool:
        pool = any_pool(Thing, 2, factory=factory, pre_initialize=True)
        with pytest.raises(ZeroDivisionError):
            pool.get()
        return
    with pytest.raises(ZeroDivisionError):
        any_pool(Thing, 2, factory=factory, pre_initialize=True)


def test_a_reset_method_that_does_not_exist_is_refused(any_pool: Any) -> None:
    with pytest.raises(PoolConfigurationError, match="no method 'rest'"):
        any_pool(Thing, 2, reset_method="rest")
    with pytest.raises(TypeError):
        any_pool(Thing, 2, reset_method=Thing.reset)
    pool = any_pool(Thing, 2, reset_method="rest", check_reset_method=False)
    pool.get()


def test_a_factory_may_use_its_pool(any_pool: Any) -> None:
    def factory() -> Thing:
        depth.append(1)
        if len(depth) < 3:
            nested.append(pool.get())
        return Thing()

    depth: list[int] = []
    nested: list[Any] = []
    pool = any_pool(Thing, 4, factory=factory)
    thing = pool.get()
    assert pool.size() == 3
    for each in (thing, *nested):
        pool.release(each)
    assert (pool.size(), pool.available()) == (0, 3)


def test_a_reset_may_use_its_pool(any_pool: Any) -> None:
    class Greedy(Thing):
        def reset(self) -> None:
            if pool.size() < 3:
                self.other = pool.get()

    pool = any_pool(Greedy, 4, reset_method="reset")
    thing = pool.get()
    assert pool.size() == 3
    thing.other.other = None
    assert pool.size() == 3


def test_a_factory_may_close_its_pool(any_pool: Any) -> None:
    def factory() -> Thing:
        pool.close()
        return Thing()

    pool = any_pool(Thing, 4, factory=factory)
    with pytest.raises(PoolClosedError):
        pool.get()
    assert (pool.size(), pool.available()) == (0, 0)


def test_a_pool_that_is_closed_while_an_object_is_made_ready_hands_nothing_out(any_pool: Any) -> None:
    class Closing(Thing):
        def reset(self) -> None:
            pool.close()

    def factory() -> Closing:
        pool.close()
        return Closing()

    taken: list[Any] = [lambda: pool.get(), lambda: pool.allocate()]
    if any_pool is ThreadSafePool:
        taken += [lambda: pool.get(timeout=1), lambda: pool.allocate(timeout=1)]
    for settings in ({"reset_method": "reset"}, {"factory": factory}):
        for take in taken:
            pool: Any = any_pool(Closing, 2, **settings)
            with pytest.raises(PoolClosedError):
                take()
            assert (pool.size(), pool.available()) == (0, 0)


def test_a_destructor_may_use_its_pool(any_pool: Any) -> None:
    class Noisy(Thing):
        def __del__(self) -> None:
            try:
                pool.release(pool.get())
            except (PoolClosedError, PoolEmptyError):
                refused.append(True)

    refused: list[bool] = []
    pool = any_pool(Noisy, 4, pre_initialize=True)
    pool.available()
    pool.close()
    assert len(refused) == 4


def test_isinstance_may_use_the_pool() -> None:
    class Curious(type):
        def __instancecheck__(cls, instance: object) -> bool:
            pool.close()
            return True

    class Checked(metaclass=Curious):
        pass

    pool: Any = FixedPool(Checked, 2, factory=Thing)
    with pytest.raises(PoolClosedError):
        pool.get()
    assert pool.size() == 0


def test_collection_while_the_pool_works_does_not_deadlock() -> None:
    run(
        """
        import gc, threading
        from fastalloc import ThreadSafePool
        from fastalloc.handle import OwnedHandle

        class Thing:
            pass

        pool = ThreadSafePool(Thing, 50)
        gc.set_threshold(1, 1, 1)

        def work():
            for _ in range(300):
                handle = OwnedHandle(pool.get(), pool.release)
                handle.itself = handle
                other = pool.allocate()
                other.get().handle = other
                other.release()
                del handle, other

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        gc.collect()
        assert pool.size() == 0, pool
        """
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_use_the_pool() -> None:
    pool = ThreadSafePool(Thing, 100)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with pool.allocate():
                pass

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            # `os.fork` warns of threads, and rightly so in general.
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                child = os.fork()
            if child == 0:
                signal.alarm(10)
                code = 1
                try:
                    for _ in range(100):
                        pool.release(pool.get())
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_gets_what_threads_of_its_parent_wait_for() -> None:
    run(
        """
        import os, signal, threading, time, warnings
        from fastalloc import ThreadSafePool, _native

        warnings.simplefilter("ignore", DeprecationWarning)
        pool = ThreadSafePool(list, 1)
        thing = pool.get()
        thread = threading.Thread(target=lambda: pool.release(pool.get(timeout=None)))
        thread.start()
        while not _native.waiting(pool):
            time.sleep(0.001)
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            pool.release(thing)
            os._exit(pool.size() + (pool.get(timeout=1) is not thing))
        assert os.waitpid(child, 0)[1] == 0
        pool.release(thing)
        thread.join()
        """
    )


def test_the_size_of_a_thread_local_pool_is_that_of_the_thread() -> None:
    pool = ThreadLocalPool(Thing, 3)
    held = pool.get()
    sizes: list[int] = []
    thread = threading.Thread(target=lambda: sizes.append(pool.size()))
    thread.start()
    thread.join()
    assert (pool.size(), sizes) == (1, [0])
    pool.release(held)


def test_threads_that_end_leave_their_statistics_and_no_objects() -> None:
    alive = weakref.WeakSet[Thing]()

    class Tracked(Thing):
        def __init__(self) -> None:
            alive.add(self)

    pool = ThreadLocalPool(Tracked, 3, enable_statistics=True)
    for _ in range(50):
        thread = threading.Thread(target=lambda: pool.release(pool.get()))
        thread.start()
        thread.join()
    assert pool.stats().total_allocations == pool.stats().total_releases == 50
    gc.collect()
    assert len(alive) == 0


def test_another_thread_may_release_an_object_of_a_thread_local_pool() -> None:
    pool = ThreadLocalPool(Thing, 3, enable_statistics=True)
    thing = pool.get()
    thread = threading.Thread(target=lambda: pool.release(thing))
    thread.start()
    thread.join()
    assert (pool.size(), pool.available()) == (0, 1)

    taken: list[Thing] = []
    thread = threading.Thread(target=lambda: taken.append(pool.get()))
    thread.start()
    thread.join()
    gone = weakref.ref(taken[0])
    pool.release(taken.pop())
    assert gone() is None, "its thread has ended"
    assert pool.stats().current_in_use == 0


def test_both_limits_of_growth_hold() -> None:
    for pool_limit, growth_limit in ((4, None), (9, 4), (4, 9)):
        pool = GrowingPool(Thing, 2, max_capacity=pool_limit, growth_config=linear_growth(16, growth_limit))
        held = [pool.get() for _ in range(4)]
        with pytest.raises(PoolEmptyError):
            pool.get()
        assert pool.capacity() == len(held)


def test_the_builder_drops_no_setting() -> None:
    base = PoolBuilder[Thing]().type(Thing).capacity(2).max_capacity(6)
    growing: Any = base.build()
    assert isinstance(growing, GrowingPool)
    shared: Any = base.growth_strategy(GrowthStrategy.EXPONENTIAL, factor=2.0).thread_safe(True).build()
    assert isinstance(shared, ThreadSafePool)
    for pool in (growing, shared):
        assert len([pool.get() for _ in range(6)]) == 6
        assert pool.max_capacity() == 6
    with pytest.raises(PoolConfigurationError, match="do not grow"):
        base.thread_safe(False).thread_local(True).build()


def test_none_is_an_object_like_any_other(any_pool: Any) -> None:
    pool = any_pool(type(None), 2, factory=lambda: None)
    assert pool.get() is None
    assert pool.size() == 1
    pool.release(None)
    assert (pool.size(), pool.available()) == (0, 1)
    with pytest.raises(AlreadyReleasedError):
        pool.release(None)


def test_the_same_object_may_be_in_several_slots(any_pool: Any) -> None:
    one = Thing()
    pool = any_pool(Thing, 4, factory=lambda: one, pre_initialize=True)
    for _ in range(3):
        assert all(pool.get() is one for _ in range(3))
        assert (pool.size(), pool.available()) == (3, 1)
        for _ in range(3):
            pool.release(one)
        assert (pool.size(), pool.available()) == (0, 4)
        with pytest.raises(AlreadyReleasedError):
            pool.release(one)
    pool.close()


def test_the_same_object_through_handles(sync_pool: Any) -> None:
    one = Thing()
    pool = sync_pool(Thing, 3, factory=lambda: one)
    for _ in range(3):
        handles = [pool.allocate() for _ in range(3)]
        pool.release(one)
        assert pool.size() == 2
        refused = 0
        for handle in handles:
            try:
                handle.release()
            except AlreadyReleasedError:
                refused += 1
        assert (refused, pool.size(), pool.available()) == (1, 0, 3)


def test_many_equal_objects_do_not_take_quadratic_time() -> None:
    pool = FixedPool(int, 200_000, pre_initialize=True)
    held = [pool.get() for _ in range(200_000)]
    for value in held:
        pool.release(value)
    assert pool.available() == 200_000
    pool.close()
    assert pool.available() == 0


def test_an_object_of_another_type_is_refused_when_it_is_made(any_pool: Any) -> None:
    pool = any_pool(Thing, 2, factory=dict)
    with pytest.raises(TypeMismatchError, match="expected Thing, got dict"):
        pool.get()
    assert (pool.size(), pool.available()) == (0, 0)


def test_close_drops_free_objects_at_once_and_others_on_release(any_pool: Any) -> None:
    pool = any_pool(Thing, 3)
    held, free = pool.get(), pool.get()
    pool.release(free)
    gone, kept = weakref.ref(free), weakref.ref(held)
    del free
    pool.close()
    assert gone() is None
    assert kept() is held
    pool.release(held)
    del held
    assert kept() is None


def test_pools_and_handles_cannot_be_copied(any_pool: Any) -> None:
    pool = any_pool(Thing, 1)
    for original in (pool, pool.allocate()):
        for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot copy or pickle"):
                duplicate(original)


def test_errors_can_be_pickled() -> None:
    mismatch = pickle.loads(pickle.dumps(TypeMismatchError(int, str, "no")))
    assert (mismatch.expected_type, mismatch.actual_type, str(mismatch)) == (int, str, "no")
    invalid = pickle.loads(pickle.dumps(InvalidCapacityError(-1)))
    assert (invalid.capacity, str(invalid)) == (-1, "invalid capacity: -1")
    for cls in (PoolEmptyError, PoolClosedError, PoolTimeoutError, AlreadyReleasedError, PoolConfigurationError):
        assert str(pickle.loads(pickle.dumps(cls("text")))) == "text"


def test_subclasses_of_pooled_classes_have_pools_of_their_own() -> None:
    @pooled(2, reset_method="reset")
    class Base(Thing):
        hooked: list[str] = []

        def __init_subclass__(cls, tag: str = "", **arguments: Any) -> None:
            super().__init_subclass__(**arguments)
            cls.hooked.append(tag)

    class Child(Base, tag="child"):
        pass

    @pooled(7)
    class Other(Child):
        pass

    base, child, other = Base.pool, Child.pool, Other.pool  # type: ignore[attr-defined]
    assert type(child.get()) is Child
    assert type(base.get()) is Base
    assert (child.capacity(), other.capacity()) == (2, 7)
    assert Base.hooked == ["child", ""]


def test_sub_interpreters_are_refused_with_a_reason() -> None:
    output = run(
        """
        import sys, warnings
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            import _interpreters as interpreters
        import fastalloc
        program = '''
        try:
            import fastalloc
        except ImportError as error:
            print(type(error).__name__, error, flush=True)
        '''
        import textwrap
        one = interpreters.create()
        if hasattr(interpreters, "run_string"):
            interpreters.run_string(one, textwrap.dedent(program))
        pool = fastalloc.FixedPool(list, 1)
        pool.release(pool.get())
        """
    )
    assert "ImportError" in output
    assert "interpreter" in output


def test_a_module_that_is_imported_again_has_the_same_classes() -> None:
    run(
        """
        import sys
        import fastalloc
        before = fastalloc.FixedPool
        pool = before(list, 1)
        for name in [name for name in sys.modules if name.startswith("fastalloc")]:
            del sys.modules[name]
        import fastalloc as again
        assert again.FixedPool is before
        with pool.allocate(): pass
        """
    )


def test_handles_that_outlive_everything() -> None:
    run(
        """
        import fastalloc, sys
        class Thing: pass
        pool = fastalloc.FixedPool(Thing, 3)
        handle = pool.allocate()
        handle.get().handle = handle
        handle.get().pool = pool
        sys.keep = [pool, pool.allocate()]
        entered = pool.allocate()
        entered.__enter__()
        """
    )


def test_an_async_handle_that_outlives_its_loop() -> None:
    run(
        """
        import asyncio, fastalloc
        pool = fastalloc.AsyncPool(list, 1)
        async def main():
            global waiting, handle
            handle = pool.allocate()
            await handle.__aenter__()
            waiting = pool.get_async()
            try:
                await asyncio.wait_for(waiting, 0.01)
            except TimeoutError:
                pass
        asyncio.run(main())
        del handle
        assert pool.size() == 0
        """
    )


def test_documented_promises_of_0_1_hold() -> None:
    assert isinstance(FixedPool.builder(), PoolBuilder)
    pool: Any = FixedPool.builder().type(Thing).capacity(3).build()
    assert isinstance(pool, FixedPool)


def test_public_handles_take_none_for_an_object() -> None:
    for cls in (ContextHandle, OwnedHandle):
        returned: list[None] = []
        handle: Any = cls(None, returned.append)
        assert handle.get() is None
        handle.release()
        with pytest.raises(AlreadyReleasedError):
            handle.release()
        assert returned == [None]
    OwnedHandle.__new__(OwnedHandle).__del__()


def test_weak_handles_of_objects_that_are_gone() -> None:
    thing = Thing()
    released: list[Thing] = []
    handle = WeakHandle(thing, released.append)
    assert handle.is_alive()
    del thing
    assert not handle.is_alive()
    assert handle.is_released()
    with pytest.raises(AlreadyReleasedError):
        handle.get()
    assert released == []


def test_an_async_pool_refuses_async_functions_where_it_cannot_wait() -> None:
    async def factory() -> Thing:
        return Thing()

    pool = AsyncPool(Thing, 1, factory=factory)
    with pytest.raises(TypeError, match="get_async"):
        pool.get()
    with pytest.raises(PoolConfigurationError, match="AsyncPool"):
        FixedPool(Thing, 1, factory=factory)  # type: ignore[arg-type]
    with pytest.raises(PoolConfigurationError, match="in advance"):
        AsyncPool(Thing, 1, factory=factory, pre_initialize=True)
    assert pool.size() == 0


def test_a_handle_that_is_weakly_referenced_is_not_handed_out_again() -> None:
    pool = FixedPool(Thing, 1)
    handle = pool.allocate()
    old = weakref.ref(handle)
    handle.release()
    del handle
    new = pool.allocate()
    assert old() is not new
    stale = old()
    if stale is not None:
        with pytest.raises(AlreadyReleasedError):
            stale.release()
    assert new.get() is not None
    new.release()


@pytest.mark.parametrize("kind", ["handle", "pool", "subclass", "thread_local", "awaitable"])
def test_deep_structures_are_freed_without_deep_recursion(kind: str) -> None:
    output = run(
        f"""
        import gc, threading
        import fastalloc

        class Named(fastalloc.FixedPool):
            pass

        def deeper(thing):
            def factory():
                return kept.pop()
            kept = [thing]
            if "{kind}" == "awaitable":
                pool = fastalloc.AsyncPool(object, 1, factory=factory, pre_initialize=True)
                return pool.get_async()
            if "{kind}" == "thread_local":
                pool = fastalloc.ThreadLocalPool(object, 1, factory=factory, pre_initialize=True)
                pool.available()
                return pool
            pool = (Named if "{kind}" == "subclass" else fastalloc.FixedPool)(object, 1, factory=factory, pre_initialize=True)
            return pool.allocate() if "{kind}" == "handle" else pool

        class Last:
            def __del__(self):
                print("freed")

        def work():
            thing = Last()
            for _ in range(2_000 if "{kind}" == "thread_local" else 20_000):
                thing = deeper(thing)

        gc.disable()
        threading.stack_size(1 << 20)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """
    )
    assert output == "freed\n"
