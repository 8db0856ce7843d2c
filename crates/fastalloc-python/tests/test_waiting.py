"""Waiting: threads and tasks, in order, cancelled at any moment."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator
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
    assert not _native.waiters(pool)


# Threads.


def test_a_thread_waits_until_an_object_is_released() -> None:
    pool = ThreadSafePool(Thing, 1)
    thing = pool.get()
    got: list[Thing] = []
    thread = threading.Thread(target=lambda: got.append(pool.get(timeout=None)))
    thread.start()
    while not _native.waiters(pool):
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
        while len(_native.waiters(pool)) <= number:
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
    while not _native.waiters(pool):
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
    while len(_native.waiters(pool)) < 5:
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
        while len(_native.waiters(pool)) <= count:
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
    assert not _native.waiters(pool)


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
    assert not _native.waiters(pool)
    async with pool.allocate(), pool.allocate(), pool.allocate():
        pass


async def test_an_offer_that_comes_too_late_changes_nothing() -> None:
    from fastalloc._waiting import _TaskWaiter, _ThreadWaiter

    pool = ThreadSafePool(Thing, 1)
    reserved = _native.reserve(pool)
    assert reserved is not None
    for waiter in (_ThreadWaiter(), _TaskWaiter()):
        assert waiter.leave(pool)
        assert not waiter.offer(reserved[0])
        waiter.give_up(pool)
        waiter.give_up(pool)
        assert pool.size() == 1, "the slot is not this waiter's"
    for waiter in (_ThreadWaiter(), _TaskWaiter()):
        assert waiter.offer(reserved[0])
        assert not waiter.leave(pool)
    _native.vacate(pool, reserved[0])
    assert_whole(pool, 0)
