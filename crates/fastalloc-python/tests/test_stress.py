"""Much of everything at once: operations that may leak, threads, forks, garbage collection."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import pytest

from fastalloc import AlreadyReleasedError, AsyncPool, FixedPool, PoolEmptyError, ThreadLocalPool, TypeMismatchError

from .conftest import SYNC, Thing
from .test_faults import run


def assert_no_leak(operation: Any, repetitions: int) -> None:
    """Runs it so often, and compares the number of blocks that Python has allocated, and the references to what never goes."""
    eternal = (None, True, Thing, FixedPool)
    for _ in range(repetitions // 10 + 1):
        operation()
    gc.collect()
    blocks, references = sys.getallocatedblocks(), [sys.getrefcount(each) for each in eternal]
    # Of a debug build.
    all_references = getattr(sys, "gettotalrefcount", lambda: 0)
    total = all_references()
    for _ in range(repetitions):
        operation()
    gc.collect()
    # Caches come and go; what is lost each time would be more.
    tolerance = repetitions // 2
    assert sys.getallocatedblocks() - blocks < tolerance
    assert all_references() - total < tolerance
    for before, each in zip(references, eternal, strict=True):
        assert abs(sys.getrefcount(each) - before) < tolerance


@pytest.mark.parametrize("cls", SYNC, ids=lambda cls: cls.__name__)
def test_a_million_operations_leak_nothing(cls: type[Any]) -> None:
    pool = cls(Thing, 3, **({"max_capacity": 5} if "Growing" in cls.__name__ else {}))

    def operation() -> None:
        for _ in range(20):
            pool.release(pool.get())
            with pool.allocate():
                pass
            first, second = pool.get(), pool.allocate()
            pool.release(first)
            del second
            pool.size(), pool.available(), pool.capacity()

    # Some 100 calls each.
    assert_no_leak(operation, 2_500)


def test_whole_lives_of_pools_leak_nothing(any_pool: Any) -> None:
    class Cyclic(Thing):
        def reset(self) -> None:
            self.other = pool

    pool: Any = None

    def operation() -> None:
        nonlocal pool
        pool = any_pool(Cyclic, 3, reset_method="reset", enable_statistics=True)
        things = [pool.get(), pool.get()]
        handle = pool.allocate()
        if hasattr(handle, "__enter__"):
            handle.__enter__().other = handle
        for refused in (things, Thing()):
            try:
                pool.release(refused)
            except (TypeMismatchError, AlreadyReleasedError):
                pass
        try:
            pool.get()
        except PoolEmptyError:
            pass
        repr(pool), pool.stats().snapshot()
        pool.release(things[0])
        pool.close()
        pool = None

    assert_no_leak(operation, 1_000)


def test_async_operations_leak_nothing() -> None:
    pool = AsyncPool(Thing, 2)

    async def use() -> None:
        async with pool.allocate():
            await asyncio.sleep(0)
        pool.release(await pool.get_async())

    async def main() -> None:
        tasks = [asyncio.create_task(use()) for _ in range(10)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with asyncio.Runner() as runner:
        assert_no_leak(lambda: runner.run(main()), 500)


def test_bookkeeping_is_small() -> None:
    from fastalloc import _native

    pool = FixedPool(object, 100_000, factory=object, pre_initialize=True)
    assert _native.bookkeeping(pool) / 100_000 <= 56


def test_threads_of_a_thread_local_pool_leak_nothing() -> None:
    import threading

    pool = ThreadLocalPool(Thing, 3)

    def work() -> None:
        with pool.allocate():
            pool.get()

    def operation() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert_no_leak(operation, 500)


def test_threads_forks_and_collections_at_once() -> None:
    run(
        """
        import gc, os, random, signal, sys, threading, time, warnings
        import fastalloc
        from fastalloc import PoolEmptyError

        warnings.simplefilter("ignore", DeprecationWarning)

        class Thing:
            other = None
            def reset(self):
                self.other = None

        pools = [
            fastalloc.ThreadSafePool(Thing, 4, reset_method="reset"),
            fastalloc.ThreadSafePool(Thing, 4, max_capacity=8),
            fastalloc.ThreadLocalPool(Thing, 2),
        ]
        gc.set_threshold(50, 2, 2)
        sys.setswitchinterval(1e-5)
        end = time.monotonic() + 3
        errors = []

        def work(seed, end):
            dice = random.Random(seed)
            kept = []
            try:
                while time.monotonic() < end:
                    pool = dice.choice(pools)
                    try:
                        match dice.randrange(6):
                            case 0:
                                kept.append((pool, pool.get()))
                            case 1:
                                with pool.allocate() as thing:
                                    thing.other = thing
                            case 2:
                                pool.get().other = pool.allocate()
                            case 3 if pool is not pools[2]:
                                with pool.allocate(timeout=0.001):
                                    pass
                            case 4:
                                gc.collect(dice.randrange(2))
                            case _:
                                if kept:
                                    owner, thing = kept.pop(dice.randrange(len(kept)))
                                    owner.release(thing)
                    except PoolEmptyError:
                        if kept:
                            kept.pop()
            except BaseException as error:
                errors.append(error)
                raise

        threads = [threading.Thread(target=work, args=(seed, end)) for seed in range(4)]
        for thread in threads:
            thread.start()
        while time.monotonic() < end:
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                try:
                    work(99, time.monotonic() + 0.1)
                finally:
                    os._exit(bool(errors))
            assert os.waitpid(child, 0)[1] == 0
        for thread in threads:
            thread.join()
        assert not errors, errors
        """,
        timeout=90,
    )
