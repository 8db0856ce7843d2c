"""Waiting: threads and tasks, in order, cancelled at any moment."""

from __future__ import annotations

import asyncio
import gc
import random
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from fastalloc import (
    AlreadyReleasedError,
    AsyncPool,
    PoolClosedError,
    PoolEmptyError,
    PoolTimeoutError,
    ThreadSafePool,
    TypeMismatchError,
    _native,
)
from fastalloc.async_support import AsyncContextHandle

from .conftest import Thing


async def turns(count: int = 5) -> None:
    """Lets other tasks run."""
    for _ in range(count):
        await asyncio.sleep(0)


def assert_whole(pool: Any, objects: int) -> None:
    """Nothing is out, and nobody waits."""
    assert (pool.size(), pool.available()) == (0, objects)
    assert not _native.waiting(pool)


# Threads.


def test_a_thread_waits_until_an_object_is_released() -> None:
    pool = ThreadSafePool(Thing, 1)
    thing = pool.get()
    got: list[Thing] = []
    thread = threading.Thread(target=lambda: got.append(pool.get(timeout=None)))
    thread.start()
    while not _native.waiting(pool):
        time.sleep(0.001)
    pool.release(thing)
    thread.join()
    assert got == [thing]
    pool.release(thing)
    assert_whole(pool, 1)


def test_waiting_ends_in_time() -> None:
    pool = ThreadSafePool(Thing, 1)
    thing = pool.get()
    for timeout in (0.02, 0.3):
        start = time.monotonic()
        with pytest.raises(PoolTimeoutError) as caught:
            pool.get(timeout=timeout)
        assert timeout <= time.monotonic() - start < timeout + 5
        assert isinstance(caught.value, (TimeoutError, PoolEmptyError))
    for wrong in (-1, float("nan"), "soon"):
        with pytest.raises(ValueError):
            pool.get(timeout=wrong)  # type: ignore[arg-type]
    with pytest.raises(PoolEmptyError):
        pool.get(timeout=0)
    for arguments, keywords in (((1,), {}), ((), {"time": 1}), ((), {"timeout": 1, "time": 1})):
        with pytest.raises(TypeError):
            pool.get(*arguments, **keywords)
    pool.release(thing)
    assert_whole(pool, 1)
    with pool.allocate(timeout=1) as again:
        assert again is thing


def test_threads_are_served_in_order() -> None:
    pool = ThreadSafePool(Thing, 1)
    thing = pool.get()
    order: list[int] = []

    def work(number: int) -> None:
        with pool.allocate(timeout=None):
            order.append(number)

    threads = []
    for number in range(8):
        threads.append(threading.Thread(target=work, args=(number,)))
        threads[-1].start()
        while _native.waiting(pool) <= number:
            time.sleep(0.001)
    pool.release(thing)
    for thread in threads:
        thread.join()
    assert order == list(range(8))
    assert_whole(pool, 1)


def test_nobody_overtakes_those_who_wait() -> None:
    pool = ThreadSafePool(Thing, 1)
    thing = pool.get()
    got: list[Thing] = []
    thread = threading.Thread(target=lambda: got.append(pool.get(timeout=None)))
    thread.start()
    while not _native.waiting(pool):
        time.sleep(0.001)
    pool.release(thing)
    with pytest.raises(PoolEmptyError):
        pool.get()
    thread.join()
    pool.release(got.pop())


def test_an_abandoned_object_goes_to_who_waits() -> None:
    pool = ThreadSafePool(Thing, 1)
    holder = [pool.get()]
    threading.Timer(0.05, holder.clear).start()
    assert isinstance(pool.get(timeout=10), Thing)


def test_close_wakes_all_threads() -> None:
    pool = ThreadSafePool(Thing, 1)
    thing = pool.get()
    ends: list[type[Exception]] = []

    def work() -> None:
        try:
            pool.get(timeout=None)
        except Exception as error:
            ends.append(type(error))

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    while _native.waiting(pool) < 5:
        time.sleep(0.001)
    pool.close()
    for thread in threads:
        thread.join()
    assert ends == [PoolClosedError] * 5
    pool.release(thing)
    assert_whole(pool, 0)


def test_a_slot_whose_object_fails_goes_on_to_the_next_thread() -> None:
    class Moody(Thing):
        fails = False

        def reset(self) -> None:
            if self.fails:
                raise ZeroDivisionError

    pool = ThreadSafePool(Moody, 1, reset_method="reset")
    thing = pool.get()
    ends: list[object] = []

    def work() -> None:
        try:
            with pool.allocate(timeout=None) as mine:
                ends.append(mine.fails)
        except ZeroDivisionError:
            ends.append(ZeroDivisionError)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for count, thread in enumerate(threads):
        thread.start()
        while _native.waiting(pool) <= count:
            time.sleep(0.001)
    thing.fails = True
    pool.release(thing)
    for thread in threads:
        thread.join()
    assert ends == [ZeroDivisionError, False, False]
    assert pool.size() == 0


def test_threads_with_and_without_patience() -> None:
    pool = ThreadSafePool(Thing, 3)
    errors: list[BaseException] = []

    def work(seed: int) -> None:
        dice = random.Random(seed)
        try:
            for _ in range(150):
                try:
                    with pool.allocate(timeout=dice.choice([0, 0.0005, 0.002, None])) as thing:
                        assert thing.other is None
                        thing.other = seed
                        if dice.random() < 0.2:
                            time.sleep(0.0002)
                        assert thing.other == seed
                        thing.other = None
                except PoolEmptyError:
                    pass
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert pool.size() == 0
    assert not _native.waiting(pool)


# Tasks.


@pytest.fixture
async def pool() -> AsyncIterator[AsyncPool[Thing]]:
    pool = AsyncPool(Thing, 1, pre_initialize=True)
    yield pool
    assert_whole(pool, 1)


async def test_an_object_that_is_there_is_had_at_once(pool: AsyncPool[Thing]) -> None:
    thing = await pool.get_async()
    await pool.release_async(thing)
    async with pool.allocate() as again:
        assert again is thing
        assert pool.size() == 1
    for awaitable in (pool.get_async(), pool.get_async(timeout=1)):
        pool.release(await asyncio.create_task(awaitable))
    pool.release(await asyncio.wait_for(pool.get_async(), 1))
    pool.release((await asyncio.gather(pool.get_async()))[0])
    await asyncio.create_task(pool.release_async(await pool.get_async()))


async def test_awaitables_are_coroutines_to_all_who_ask(pool: AsyncPool[Thing]) -> None:
    import collections.abc

    first = pool.get_async()
    assert isinstance(first, collections.abc.Coroutine)
    assert asyncio.iscoroutine(first)
    with pytest.raises(StopIteration) as caught:
        first.send(None)
    with pytest.raises(RuntimeError, match="reuse"):
        await first
    pool.release(caught.value.value)
    closed = pool.get_async()
    closed.close()
    with pytest.raises(RuntimeError, match="reuse"):
        await closed
    for arguments in ((KeyError("k"),), (KeyError,), (KeyError, KeyError("k")), (KeyError, None, None)):
        thrown: Any = pool.get_async()
        with pytest.raises(KeyError):
            thrown.throw(*arguments)
    done: Any = pool.release_async(await pool.get_async())
    with pytest.raises(StopIteration):
        done.send(None)
    with pytest.raises(KeyError):
        done.throw(KeyError)
    done.close()
    never: Any = pool.get_async()
    del never


async def test_results_that_look_like_exceptions_arrive_whole() -> None:
    for value in ((1, 2), (), StopIteration(7), ValueError("x")):
        odd: AsyncPool[Any] = AsyncPool(type(value), 1, factory=lambda value=value: value, pre_initialize=True)
        assert await odd.get_async() is value
        odd.release(value)
        async with odd.allocate() as again:
            assert again is value


async def test_tasks_are_served_in_order_in_spite_of_cancellation() -> None:
    pool = AsyncPool(Thing, 1)
    thing = pool.get()
    order: list[int] = []

    async def work(number: int) -> None:
        async with pool.allocate():
            order.append(number)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(work(number)) for number in range(6)]
    await turns()
    tasks[0].cancel()
    pool.release(thing)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [2, 3, 4, 5]
    assert_whole(pool, 1)


async def test_a_task_cancelled_after_the_hand_over_passes_the_object_on() -> None:
    pool = AsyncPool(Thing, 1)
    thing = pool.get()
    first = asyncio.create_task(pool.get_async())
    second = asyncio.create_task(pool.get_async())
    await turns()
    pool.release(thing)
    first.cancel()
    assert await second is thing
    with pytest.raises(asyncio.CancelledError):
        await first
    pool.release(thing)
    assert_whole(pool, 1)


async def test_an_awaitable_that_is_dropped_passes_the_object_on() -> None:
    for drop in ("close", "del"):
        pool = AsyncPool(Thing, 1)
        thing = pool.get()
        waiting: Any = pool.get_async()
        waiting.send(None)
        pool.release(thing)
        assert pool.size() == 1
        if drop == "close":
            waiting.close()
        del waiting
        assert_whole(pool, 1)


async def test_nobody_overtakes_waiting_tasks(pool: AsyncPool[Thing]) -> None:
    thing = await pool.get_async()
    waiting = asyncio.create_task(pool.get_async())
    await turns()
    pool.release(thing)
    with pytest.raises(PoolEmptyError):
        pool.get()
    assert await waiting is thing
    pool.release(thing)


async def test_timeouts_of_tasks(pool: AsyncPool[Thing]) -> None:
    thing = await pool.get_async()
    with pytest.raises(PoolTimeoutError):
        await pool.get_async(timeout=0.01)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), pool.allocate():
            raise AssertionError
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pool.get_async(), 0.01)
    with pytest.raises(ValueError):
        await pool.get_async(timeout=-1)
    pool.release(thing)
    pool.release(await pool.get_async(timeout=0.01))


async def test_close_wakes_all_tasks() -> None:
    pool = AsyncPool(Thing, 1)
    thing = pool.get()
    tasks = [asyncio.create_task(pool.get_async()) for _ in range(3)]
    handle = pool.allocate()
    await turns()
    pool.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [PoolClosedError] * 3
    with pytest.raises(PoolClosedError):
        await handle.__aenter__()
    with pytest.raises(PoolClosedError):
        await pool.get_async()
    pool.release(thing)
    assert_whole(pool, 0)


async def test_a_pool_that_an_async_reset_closes_hands_nothing_out() -> None:
    class Closing(Thing):
        async def areset(self) -> None:
            shut.close()

    shut: Any
    takes: list[Any] = [lambda: shut.get_async(), lambda: shut.allocate().__aenter__()]
    for take in takes:
        shut = AsyncPool(Closing, 1, reset_method="areset")
        with pytest.raises(PoolClosedError):
            await take()
        assert_whole(shut, 0)


async def test_handles_of_tasks(pool: AsyncPool[Thing]) -> None:
    handle = pool.allocate()
    assert isinstance(handle, AsyncContextHandle)
    assert repr(handle) == "AsyncContextHandle(released=False)"
    async with handle as thing:
        assert handle.get() is thing
    with pytest.raises(AlreadyReleasedError):
        handle.get()
    with pytest.raises(AlreadyReleasedError):
        async with handle:
            raise AssertionError
    thing = pool.get()
    waiting = pool.allocate()
    with pytest.raises(AlreadyReleasedError):
        waiting.get()
    del waiting
    pending = pool.allocate()
    entering = asyncio.create_task(pending.__aenter__())
    await turns()
    pool.release(thing)
    assert await entering is thing
    assert pending.get() is thing
    pending.release()
    cls = type(handle)
    other = pool.allocate()
    assert await cls.__aenter__(other) is thing
    await cls.__aexit__(other, None, None, None)


async def test_async_factories_and_resets() -> None:
    class Client(Thing):
        async def areset(self) -> None:
            await asyncio.sleep(0)
            self.resets += 1

    async def connect() -> Client:
        await asyncio.sleep(0)
        return Client()

    pool = AsyncPool(Client, 2, factory=connect, reset_method="areset", enable_statistics=True)
    async with pool.allocate() as first, pool.allocate() as second:
        assert first is not second
        with pytest.raises(PoolTimeoutError):
            await pool.get_async(timeout=0.01)
    again = await pool.get_async()
    assert again.resets == 2
    pool.release(again)
    assert pool.stats().total_allocations == pool.stats().total_resets == 3
    assert_whole(pool, 2)


async def test_async_factories_that_fail_or_are_cancelled_cost_nothing() -> None:
    mood: list[Any] = [ZeroDivisionError(), "hang", "text"]

    async def connect() -> Any:
        what = mood.pop(0) if mood else None
        if isinstance(what, Exception):
            raise what
        if what == "hang":
            await asyncio.sleep(3600)
        return what or Thing()

    pool: AsyncPool[Thing] = AsyncPool(Thing, 1, factory=connect)
    with pytest.raises(ZeroDivisionError):
        await pool.get_async()
    with pytest.raises(TimeoutError):
        await pool.get_async(timeout=0.01)
    with pytest.raises(TypeMismatchError):
        async with pool.allocate():
            raise AssertionError
    assert_whole(pool, 0)
    pool.release(await pool.get_async())
    assert_whole(pool, 1)


async def test_an_object_abandoned_by_a_task_goes_to_who_waits() -> None:
    pool = AsyncPool(Thing, 1)
    holder = [pool.get()]
    waiting = asyncio.create_task(pool.get_async(timeout=10))
    await turns()
    holder.clear()
    assert isinstance(await waiting, Thing)


async def test_a_thread_may_release_what_a_task_waits_for() -> None:
    pool = AsyncPool(Thing, 1)
    thing = pool.get()
    waiting = asyncio.create_task(pool.get_async(timeout=10))
    await turns()
    await asyncio.to_thread(pool.release, thing)
    assert await waiting is thing
    pool.release(thing)
    assert_whole(pool, 1)


def test_event_loops_share_a_pool() -> None:
    pool = AsyncPool(Thing, 2)
    counts: list[int] = []

    async def work() -> None:
        for _ in range(100):
            async with pool.allocate() as thing:
                assert thing.other is None
                thing.other = 1
                await asyncio.sleep(0)
                thing.other = None
        counts.append(1)

    async def main() -> None:
        await asyncio.gather(*(work() for _ in range(5)))

    threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(counts) == 15
    assert_whole(pool, 2)


def test_a_waiter_whose_loop_has_ended_is_passed_over() -> None:
    pool = AsyncPool(Thing, 1)
    thing = pool.get()
    loop = asyncio.new_event_loop()
    waiting: Any = pool.get_async()

    async def start() -> None:
        waiting.send(None)

    loop.run_until_complete(start())
    loop.close()
    pool.release(thing)
    assert (pool.size(), pool.available()) == (0, 1)
    waiting.close()
    assert_whole(pool, 1)


@pytest.mark.parametrize("seed", range(4))
async def test_tasks_cancelled_at_random(seed: int) -> None:
    dice = random.Random(seed)
    pool = AsyncPool(Thing, 3)
    waits = dice.choices([0, 1, 2, 5], k=2_500)
    used = 0

    async def work(wait: int) -> None:
        nonlocal used
        if wait % 2:
            async with pool.allocate() as thing:
                assert thing.other is None
                thing.other = wait
                try:
                    await turns(wait)
                    used += 1
                finally:
                    thing.other = None
        else:
            thing = await pool.get_async(timeout=dice.choice([None, None, 5, 0.001]))
            try:
                await turns(wait)
                used += 1
            finally:
                await pool.release_async(thing)

    tasks = [asyncio.create_task(work(wait)) for wait in waits]
    while not all(task.done() for task in tasks):
        for _ in range(3):
            dice.choice(tasks).cancel()
        await turns(dice.randrange(4))
        if dice.random() < 0.05:
            await asyncio.sleep(0.001)
    for task in tasks:
        if not task.cancelled():
            assert isinstance(task.exception(), (PoolTimeoutError, type(None)))
    assert used > 0
    assert pool.size() == 0
    assert not _native.waiting(pool)
    async with pool.allocate(), pool.allocate(), pool.allocate():
        pass


async def test_a_claim_gives_its_slot_back_once_and_at_last_when_it_goes() -> None:
    pool = ThreadSafePool(Thing, 1)
    for end in (_native.vacate, _native.discard, lambda claim: None):
        claim = _native.reserve(pool)
        assert claim is not None
        assert pool.size() == 1
        end(claim)
        end(claim)
        del claim
        assert_whole(pool, 0)
    claim = _native.reserve(pool)
    assert claim is not None
    _native.fill(claim, Thing())
    thing = _native.hand_out(claim)
    for use in (_native.hand_out, _native.object_in, _native.has_object, _native.empty, _native.is_fit):
        with pytest.raises(PoolClosedError):
            use(claim)
    _native.vacate(claim)
    assert pool.size() == 1, "the slot is no longer the claim's"
    calls: list[bool] = []

    def waker() -> bool:
        calls.append(True)
        return len(calls) > 1

    unreachable, left, dropped, first = (_native.join(pool, waker) for _ in range(4))
    assert _native.waiting(pool) == 4
    _native.vacate(left)
    del dropped
    assert _native.waiting(pool) == 2
    pool.release(thing)
    assert [_native.is_settled(claim) for claim in (unreachable, left, first)] == [True] * 3
    assert _native.waiting(pool) == 0
    assert pool.size() == 1
    assert _native.object_in(first) is thing
    with pytest.raises(PoolClosedError):
        _native.hand_out(unreachable)
    _native.vacate(first)
    assert_whole(pool, 1)
    for wrong in (None, pool):
        with pytest.raises(TypeError):
            _native.vacate(wrong)  # type: ignore[arg-type]


# Signals: a KeyboardInterrupt may come between any two lines of Python.


class Interrupted:
    """Raises a KeyboardInterrupt at one of the lines of this package that run in the block, and notes whether there were so many."""

    def __init__(self, line: int) -> None:
        self.left = line

    def __enter__(self) -> Interrupted:
        sys.settrace(self.trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def trace(self, frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_globals.get("__name__", "").startswith("fastalloc."):
            return None
        if event in ("call", "line"):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self.trace


def test_an_interrupted_get_loses_no_slot() -> None:
    takes: list[Any] = [lambda pool: pool.get(timeout=5), lambda pool: pool.allocate(timeout=5).get()]
    for take in takes:
        for line in range(1, 1_000):
            pool: Any = ThreadSafePool(Thing, 1)
            holder = [pool.get()]
            # Handed over to who waits, while it waits.
            timer = threading.Timer(0.01, lambda: pool.release(holder.pop()))
            interrupted = Interrupted(line)
            timer.start()
            with suppress(KeyboardInterrupt), interrupted:
                take(pool)
            timer.join()
            while pool.size():
                assert pool.get() is not None, "it is only abandoned"
                pool.release(pool.get())
            assert_whole(pool, 1)
            if interrupted.left > 0:
                break


def test_a_thread_that_waits_is_interrupted_by_a_signal() -> None:
    pool = ThreadSafePool(Thing, 1)
    thing = pool.get()
    for timeout in (None, 30):
        threading.Timer(0.05, lambda: signal.raise_signal(signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            pool.get(timeout=timeout)
        assert _native.waiting(pool) == 0
    pool.release(thing)
    assert_whole(pool, 1)


def test_an_interrupted_get_async_loses_no_slot() -> None:
    async def use(pool: Any, how: int) -> None:
        if how == 0:
            pool.release(await pool.get_async())
        elif how == 1:
            pool.release(await pool.get_async(timeout=60))
        else:
            async with pool.allocate():
                pass

    for how in range(3):
        for line in range(1, 1_000):
            pool: Any = AsyncPool(Thing, 1, reset_method="reset")
            thing = pool.get()
            interrupted = Interrupted(line)
            loop = asyncio.new_event_loop()
            loop.call_later(0.002, pool.release, thing)
            task = loop.create_task(use(pool, how))
            with suppress(KeyboardInterrupt), interrupted:
                loop.run_until_complete(task)
            # A loop does not end with a task that has been interrupted, only when it is.
            if not task.done():
                task.cancel()
                with suppress(KeyboardInterrupt, asyncio.CancelledError):
                    loop.run_until_complete(task)
            elif not task.cancelled():
                assert isinstance(task.exception(), (KeyboardInterrupt, type(None)))
            if pool.size():
                # It was not released yet.
                loop.run_until_complete(asyncio.sleep(0.005))
            loop.close()
            del task
            gc.collect()
            if pool.size():
                pool.release(pool.get())
            assert (pool.size(), _native.waiting(pool)) == (0, 0), line
            if interrupted.left > 0:
                break
        assert line > 10


def test_an_interrupted_hand_over_reaches_its_waiter() -> None:
    async def main(line: int) -> int:
        pool: Any = AsyncPool(Thing, 1)
        thing = pool.get()
        tasks = [asyncio.create_task(pool.get_async()) for _ in range(2)]
        await turns()
        interrupted = Interrupted(line)
        with suppress(KeyboardInterrupt):
            with interrupted:
                pool.release(thing)
            time.sleep(0)
        for task in tasks:
            assert await asyncio.wait_for(task, 10) is thing
            pool.release(thing)
        assert_whole(pool, 1)
        return interrupted.left

    loop = asyncio.new_event_loop()
    for line in range(1, 1_000):
        if loop.run_until_complete(main(line)) > 0:
            break
    loop.close()
    assert line > 3


def test_an_interrupted_hand_over_reaches_a_thread() -> None:
    for line in range(1, 1_000):
        pool = ThreadSafePool(Thing, 1)
        thing = pool.get()
        got: list[Thing] = []
        thread = threading.Thread(target=lambda: got.append(pool.get(timeout=10)))
        thread.start()
        while not _native.waiting(pool):
            time.sleep(0.001)
        interrupted = Interrupted(line)
        with suppress(KeyboardInterrupt):
            with interrupted:
                pool.release(thing)
            time.sleep(0)
        thread.join()
        assert got == [thing]
        if interrupted.left > 0:
            break


def test_a_timeout_is_checked_before_anything_is_taken() -> None:
    threads, tasks = ThreadSafePool(Thing, 1), AsyncPool(Thing, 1)
    takes: list[Any] = [threads.get, threads.allocate, tasks.get_async]
    for take in takes:
        for wrong in (-1, float("nan"), float("-inf"), "soon"):
            with pytest.raises(ValueError):
                take(timeout=wrong)
        with pytest.raises(TypeError):
            take(timeout=[])
    for pool in (threads, tasks):
        assert_whole(pool, 0)
    for forever in (float("inf"), 1e300, True):
        threads.release(threads.get(timeout=forever))
    thing = threads.get()
    threading.Timer(0.01, lambda: threads.release(thing)).start()
    assert threads.get(timeout=1e300) is thing


def test_allocate_that_waits_uses_what_a_subclass_overrides() -> None:
    log: list[Any] = []

    class Logged(ThreadSafePool[Thing]):
        def get(self, *, timeout: float | None = 0) -> Thing:
            log.append(timeout)
            return super().get(timeout=timeout)

        def release(self, obj: Thing, /) -> None:
            log.append("release")
            super().release(obj)

    pool = Logged(Thing, 1)
    with pool.allocate(timeout=2) as thing, pytest.raises(PoolTimeoutError):
        pool.allocate(timeout=0.01)
    assert log == [2, 0.01, "release"]
    assert pool.get() is thing
