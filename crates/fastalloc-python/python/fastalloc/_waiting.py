"""Waiting for an object: threads and tasks in one line, first come, first served.

Who releases an object hands its slot to the first in line; nobody else can get it in between. A slot is handed over by its
index, and held until the waiter has taken it, or given it up: so it is never lost, whatever becomes of the waiter.

Any thread may release at any time, also a destructor that interrupts these functions. There are no locks around anything:
each step on the line is one operation of a `deque`, and each waiter has a token that either the one who hands over or the
one who leaves can take, not both.
"""

from __future__ import annotations

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

    __slots__ = ("_token", "index")

    def __init__(self) -> None:
        self._token = [None]
        self.index = _CLOSED

    def _take_token(self) -> bool:
        try:
            self._token.pop()
        except IndexError:
            return False
        return True

    def offer(self, index: int) -> bool:
        """Hand a slot over, or `_CLOSED`; false if nobody wants it any more."""
        raise NotImplementedError

    def leave(self, pool: Any) -> bool:
        """Want nothing any more; false if there has been an offer."""
        if not self._take_token():
            return False
        try:
            _native.waiters(pool).remove(self)
        except (ValueError, PoolClosedError):
            pass
        return True


class _ThreadWaiter(_Waiter):
    __slots__ = ("woken",)

    def __init__(self) -> None:
        super().__init__()
        self.woken = threading.Lock()
        self.woken.acquire()

    def offer(self, index: int) -> bool:
        # The index first: who cannot take the token knows that it is there.
        self.index = index
        if not self._take_token():
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
        if self.loop.is_closed():
            return False
        self.index = index
        if not self._take_token():
            return False
        if asyncio._get_running_loop() is self.loop:
            self._wake()
            return True
        try:
            self.loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            # It has been closed in the meantime, and the task will never run again.
            return False
        return True

    def _wake(self) -> None:
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
        if waiter.offer(index):
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
                if time.monotonic() >= deadline:
                    if waiter.leave(pool):
                        raise PoolTimeoutError(f"no object was released in {seconds} s")
                    break
                _look_again(pool)
        except BaseException:
            _give_up(pool, waiter)
            raise
    finally:
        _native.wait(pool, False)
    return _slot_of(waiter)


def _slot_of(waiter: _Waiter) -> int:
    if waiter.index == _CLOSED:
        raise PoolClosedError("pool is closed")
    return waiter.index


def _give_up(pool: Any, waiter: _Waiter) -> None:
    """Leave the line; what was handed over goes to the next."""
    if not waiter.leave(pool) and waiter.index != _CLOSED:
        _native.vacate(pool, waiter.index)
        waiter.index = _CLOSED


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
            _give_up(pool, waiter)
            raise
    finally:
        _native.wait(pool, False)
    return _slot_of(waiter)


def _look_regularly(pool: Any, waiter: _TaskWaiter) -> None:
    if not waiter.future.done() and not pool.is_closed():
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
