"""Waiting for an object: the tasks in line, and what async factories and resets need.

A claim (`_native.Claim`) is a place in line, and then the slot that comes of it. It gives the slot back when nobody refers to
it any more; earlier, if it is told to: exceptions refer to the functions that they came through.
"""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from . import _native
from .exceptions import PoolTimeoutError

# How long a task waits until it looks whether an object in use has been abandoned, in seconds.
_PATIENCE = 0.25


class _Waker:
    """Wakes a task that waits for its future, from any thread."""

    __slots__ = ("future", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[None] = self.loop.create_future()

    def __call__(self) -> bool:
        """Wake the task; false if it will never run again."""
        if self.loop.is_closed():
            return False
        if asyncio._get_running_loop() is self.loop:
            self.wake()
            return True
        try:
            self.loop.call_soon_threadsafe(self.wake)
        except RuntimeError:
            # It has been closed in the meantime.
            return False
        return True

    def wake(self) -> None:
        """Let the task go on."""
        if not self.future.done():
            self.future.set_result(None)


async def _ready(pool: Any) -> _native.Claim:
    """A claim on a slot with an object that is ready to be handed out, and wait for that."""
    claim = _native.reserve(pool)
    if claim is None:
        claim = await _in_line(pool)
    try:
        await _make_ready(pool, claim)
    except BaseException:
        _native.discard(claim)
        raise
    return claim


async def _in_line(pool: Any) -> _native.Claim:
    waker = _Waker()
    claim = _native.join(pool, waker)
    try:
        timer = waker.loop.call_later(_PATIENCE, _look_regularly, pool, claim, waker)
        try:
            await waker.future
        finally:
            timer.cancel()
    except BaseException:
        _native.vacate(claim)
        raise
    return claim


def _look_regularly(pool: Any, claim: _native.Claim, waker: _Waker) -> None:
    if _native.is_settled(claim):
        waker.wake()
    elif not pool.is_closed():
        waker.loop.call_later(_PATIENCE, _look_regularly, pool, claim, waker)
        _native.look_again(pool)


async def _make_ready(pool: Any, claim: _native.Claim) -> None:
    cls, factory, reset, _statistics, _manager = _native.settings(pool)
    if _native.has_object(claim) and not _native.is_fit(claim):
        _native.empty(claim)
    if not _native.has_object(claim):
        product = (factory or cls)()
        if inspect.isawaitable(product) and not isinstance(product, cls):
            product = await product
        _native.fill(claim, product)
    if reset is not None:
        method = getattr(_native.object_in(claim), reset, None)
        if callable(method):
            result = method()
            if inspect.isawaitable(result):
                await result
            _native.count_reset(pool)


async def acquire(pool: Any, seconds: float | None) -> Any:
    """`await pool.get_async()`, when there is more to do than to take an object."""
    return _native.hand_out(await _ready_in_time(pool, seconds))


async def _ready_in_time(pool: Any, seconds: float | None) -> _native.Claim:
    if seconds is None:
        return await _ready(pool)
    claim = None
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            claim = await _ready(pool)
    except BaseException as error:
        if claim is not None:
            _native.vacate(claim)
        if limit.expired() and isinstance(error, TimeoutError):
            raise PoolTimeoutError(f"no object was released in {seconds} s") from None
        raise
    return claim


async def enter(pool: Any, handle: Any) -> Any:
    """`async with pool.allocate()`, when there is more to do than to take an object."""
    claim = await _ready(pool)
    try:
        return _native.lend(claim, handle)
    except BaseException:
        _native.vacate(claim)
        raise
