"""Waiting for an object: threads and tasks in one line, first come, first served.

Who releases an object hands its slot to the first in line; nobody else can get it in between. A slot is handed over by its
index, and held until the waiter has taken it, or given it up: so it is never lost, whatever becomes of the waiter.

Any thread may release at any time, also a destructor that interrupts these functions. There are no locks around anything:
each step on the line is one operation of a `deque`, and of what may become of a waiter, the first outcome counts.
"""

from __future__ import annotations

import _thread
import asyncio
import inspect
import math
import threading
import time
from typing import Any

from . import _native
from .exceptions import PoolClosedError, PoolEmptyError, PoolTimeoutError

# How long a waiter waits until it looks whether an object in use has been abandoned, in seconds.
_PATIENCE = 0.25

_CLOSED = -1


class _Waiter:
    """Somebody in line."""

    __slots__ = ("_outcome",)

    def __init__(self) -> None:
        self._outcome: dict[None, list[int]] = {}

    def _settle(self, outcome: list[int]) -> bool:
        """Whether this is what becomes of the waiter: the first one is, and `setdefault` decides which is first."""
        return self._outcome.setdefault(None, outcome) is outcome

    def is_settled(self) -> bool:
        """Whether there has been an offer, or the waiter has left."""
        return bool(self._outcome)

    def offer(self, index: int) -> bool:
        """Hand a slot over, or `_CLOSED`; false if nobody wants it any more."""
        raise NotImplementedError

    def slot(self) -> int:
        """The slot that was handed over."""
        index = self._outcome[None][0]
        if index == _CLOSED:
            raise PoolClosedError("pool is closed")
        return index

    def leave(self, pool: Any) -> bool:
        """Want nothing any more; false if there has been an offer."""
        if not self._settle(_LEFT):
            return False
        try:
            _native.waiters(pool).remove(self)
        except (ValueError, PoolClosedError):
            pass
        return True

    def give_up(self, pool: Any) -> None:
        """Leave; what was handed over goes to the next."""
        if not self.leave(pool):
            [index] = self._outcome[None]
            self._outcome[None] = _LEFT
            _native.vacate(pool, index)


# Compared by identity.
_LEFT = [_CLOSED]


class _ThreadWaiter(_Waiter):
    __slots__ = ("woken",)

    def __init__(self) -> None:
        super().__init__()
        self.woken = threading.Lock()
        self.woken.acquire()

    def offer(self, index: int) -> bool:
        if not self._settle([index]):
            return False
        self.woken.release()
        return True


class _TaskWaiter(_Waiter):
    __slots__ = ("future", "loop")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()

    def offer(self, index: int) -> bool:
        if self.loop.is_closed() or not self._settle([index]):
            return False
        if asyncio._get_running_loop() is self.loop:
            self.wake()
            return True
        try:
            self.loop.call_soon_threadsafe(self.wake)
        except RuntimeError:
            # It has been closed in the meantime, and the task will never run again.
            self._outcome[None] = _LEFT
            return False
        return True

    def wake(self) -> None:
        """Let the task go on."""
        if not self.future.done():
            self.future.set_result(None)


def serve(pool: Any, index: int) -> bool:
    """Hand a slot that is held to the first in line; false if there is nobody."""
    line = _native.waiters(pool)
    while True:
        try:
            waiter = line.popleft()
        except IndexError:
            return False
        try:
            accepted = waiter.offer(index)
        except BaseException as error:
            # A signal, perhaps: if the slot has an owner, he will look, and must be the only one.
            if not waiter.is_settled():
                raise
            accepted = True
            if isinstance(error, KeyboardInterrupt):
                _thread.interrupt_main()
        if accepted:
            return True


def wake_all(pool: Any) -> None:
    """Tell all in line that the pool is closed."""
    while serve(pool, _CLOSED):
        pass


def _join(pool: Any, waiter: _Waiter) -> None:
    """Get in line. The caller has made `_native.wait` count it."""
    _native.waiters(pool).append(waiter)
    _look_again(pool)


def _look_again(pool: Any) -> None:
    """Serve the line if there is something to be had: it was released before there was a line, or abandoned."""
    reserved = _native.reserve(pool)
    if reserved is not None and not serve(pool, reserved[0]):
        _native.vacate(pool, reserved[0])


def _seconds(timeout: Any) -> float | None:
    if timeout is None:
        return None
    seconds = float(timeout)
    if math.isnan(seconds) or seconds < 0:
        raise ValueError(f"timeout must be None or a number of seconds, not negative, got {timeout!r}")
    return seconds


def wait(pool: Any, timeout: Any) -> int:
    """Hold a slot with an object, and wait for that, up to so many seconds; None waits for ever."""
    seconds = _seconds(timeout)
    reserved = _native.reserve(pool)
    if reserved is not None:
        index: int = reserved[0]
    elif seconds == 0:
        raise PoolEmptyError("pool is empty")
    else:
        index = _wait_in_line(pool, math.inf if seconds is None else time.monotonic() + seconds, seconds)
    _native.ready(pool, index)
    return index


def _wait_in_line(pool: Any, deadline: float, seconds: float | None) -> int:
    waiter = _ThreadWaiter()
    _native.wait(pool, True)
    try:
        try:
            _join(pool, waiter)
            while not waiter.woken.acquire(timeout=max(0.0, min(_PATIENCE, deadline - time.monotonic()))):
                if waiter.is_settled():
                    break
                if time.monotonic() >= deadline and waiter.leave(pool):
                    raise PoolTimeoutError(f"no object was released in {seconds} s")
                _look_again(pool)
        except BaseException:
            waiter.give_up(pool)
            raise
    finally:
        _native.wait(pool, False)
    return waiter.slot()


async def _slot(pool: Any) -> int:
    """Hold a slot with an object, and wait for that."""
    reserved = _native.reserve(pool)
    index = reserved[0] if reserved is not None else await _slot_in_line(pool)
    try:
        await _make_ready(pool, index)
    except BaseException:
        _native.discard(pool, index)
        raise
    return index


async def _slot_in_line(pool: Any) -> int:
    waiter = _TaskWaiter()
    _native.wait(pool, True)
    try:
        try:
            _join(pool, waiter)
            timer = waiter.loop.call_later(_PATIENCE, _look_regularly, pool, waiter)
            try:
                await waiter.future
            finally:
                timer.cancel()
        except BaseException:
            waiter.give_up(pool)
            raise
    finally:
        _native.wait(pool, False)
    return waiter.slot()


def _look_regularly(pool: Any, waiter: _TaskWaiter) -> None:
    if waiter.is_settled():
        waiter.wake()
    elif not pool.is_closed():
        waiter.loop.call_later(_PATIENCE, _look_regularly, pool, waiter)
        _look_again(pool)


async def _make_ready(pool: Any, index: int) -> None:
    cls, factory, reset, _statistics, _manager = _native.settings(pool)
    if _native.has_object(pool, index) and not _native.is_fit(pool, index):
        _native.empty(pool, index)
    if not _native.has_object(pool, index):
        product = (factory or cls)()
        if inspect.isawaitable(product) and not isinstance(product, cls):
            product = await product
        _native.fill(pool, index, product)
    if reset is not None:
        method = getattr(_native.object_in(pool, index), reset, None)
        if callable(method):
            result = method()
            if inspect.isawaitable(result):
                await result
            _native.count_reset(pool)


async def acquire(pool: Any, timeout: Any) -> Any:
    """`await pool.get_async()`, when there is more to do than to take an object."""
    return _native.hand_out(pool, await _slot_in_time(pool, timeout))


async def _slot_in_time(pool: Any, timeout: Any) -> int:
    seconds = _seconds(timeout)
    if seconds is None:
        return await _slot(pool)
    index = None
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            index = await _slot(pool)
    except BaseException as error:
        if index is not None:
            _native.vacate(pool, index)
        if limit.expired() and isinstance(error, TimeoutError):
            raise PoolTimeoutError(f"no object was released in {seconds} s") from None
        raise
    return index


async def enter(pool: Any, handle: Any) -> Any:
    """`async with pool.allocate()`, when there is more to do than to take an object."""
    index = await _slot(pool)
    try:
        return _native.lend(pool, index, handle)
    except BaseException:
        _native.vacate(pool, index)
        raise
