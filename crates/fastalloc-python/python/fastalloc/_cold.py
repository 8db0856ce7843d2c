"""What the native pools leave to Python, because it need not be fast: settings, statistics, waiting."""

from __future__ import annotations

import inspect
import operator
import typing
from collections.abc import Callable
from typing import Any

from . import _native
from ._lanes import Lanes
from ._managed import manager
from ._waiting import acquire, enter
from .async_support.handle import AsyncContextHandle
from .config.builder import PoolBuilder as builder
from .config.growth_strategy import linear_growth
from .exceptions import InvalidCapacityError, PoolConfigurationError
from .handle.context import ContextHandle
from .stats.collector import PoolStatistics
from .utils import safe_reset as reset_if_possible
from .utils import validate_capacity, validate_max_capacity

__all__ = [
    "acquire",
    "allocate",
    "allocate_async",
    "allocate_waiting",
    "builder",
    "configure_async",
    "configure_fixed",
    "configure_growing",
    "configure_thread_local",
    "configure_thread_safe",
    "enter",
    "local_repr",
    "maintain",
    "pool_repr",
    "reset_if_possible",
    "stats",
]


def configure_fixed(
    obj_type: Any,
    capacity: Any,
    *,
    factory: Any = None,
    reset_method: Any = None,
    enable_statistics: Any = False,
    pre_initialize: Any = False,
    check_reset_method: Any = True,
    validate: Any = None,
    destroy: Any = None,
    max_idle: Any = None,
    max_lifetime: Any = None,
    min_idle: Any = None,
    warn_leaks: Any = False,
) -> tuple[Any, ...]:
    """The settings of a `FixedPool`."""
    return _checked(**locals())


def _growing(name: str, *, grows: bool, is_async: bool) -> Callable[..., tuple[Any, ...]]:
    """The function for the settings of a pool that may grow; if `grows`, it does without being told how."""

    def configure(
        obj_type: Any,
        capacity: Any,
        *,
        max_capacity: Any = None,
        growth_config: Any = None,
        factory: Any = None,
        reset_method: Any = None,
        enable_statistics: Any = False,
        pre_initialize: Any = False,
        check_reset_method: Any = True,
        validate: Any = None,
        destroy: Any = None,
        max_idle: Any = None,
        max_lifetime: Any = None,
        min_idle: Any = None,
        warn_leaks: Any = False,
    ) -> tuple[Any, ...]:
        return _checked(**{**locals(), "grows": grows, "is_async": is_async})

    # What is wrong with the arguments is said of the pool.
    configure.__qualname__ = name
    return configure


configure_fixed.__qualname__ = "FixedPool"
configure_growing = _growing("GrowingPool", grows=True, is_async=False)
configure_thread_safe = _growing("ThreadSafePool", grows=False, is_async=False)
configure_async = _growing("AsyncPool", grows=False, is_async=True)


def configure_thread_local(
    obj_type: Any,
    capacity: Any,
    *,
    factory: Any = None,
    reset_method: Any = None,
    enable_statistics: Any = False,
    pre_initialize: Any = False,
    check_reset_method: Any = True,
) -> Lanes:
    """The lanes of a `ThreadLocalPool`."""
    settings = locals()
    cls = _checked(**settings)[0]
    return Lanes(cls, int(capacity), bool(enable_statistics), lambda: _native.FixedPool(**settings))


configure_thread_local.__qualname__ = "ThreadLocalPool"


def _checked(
    *,
    obj_type: Any,
    capacity: Any,
    factory: Any,
    reset_method: Any,
    enable_statistics: Any,
    pre_initialize: Any,
    check_reset_method: Any,
    validate: Any = None,
    destroy: Any = None,
    max_idle: Any = None,
    max_lifetime: Any = None,
    min_idle: Any = None,
    warn_leaks: Any = False,
    max_capacity: Any = None,
    growth_config: Any = None,
    grows: bool = False,
    is_async: bool = False,
) -> tuple[Any, ...]:
    """Check the settings of a pool, and return what the native part wants to know, in its order."""
    capacity = int(validate_capacity(capacity))
    if grows or max_capacity is not None or growth_config is not None:
        max_capacity = validate_max_capacity(capacity, max_capacity)
        if growth_config is None:
            growth_config = linear_growth(max(1, capacity // 2), max_capacity)
    if capacity > 2**32 - 2:
        raise InvalidCapacityError(capacity, f"capacity must be below 2**32 - 1, got {capacity}")
    # `isinstance` knows `list`, but not `list[int]`.
    cls = typing.get_origin(obj_type) or obj_type
    if not isinstance(cls, type):
        raise TypeError(f"obj_type must be a class, got {type(obj_type).__name__}")
    if factory is not None and not callable(factory):
        raise TypeError(f"factory must be callable, got {type(factory).__name__}")
    flags = _native.STATISTICS if enable_statistics else 0
    flags |= _native.WARN_LEAKS if warn_leaks else 0
    if min_idle is not None:
        min_idle = operator.index(min_idle)
        if not 0 <= min_idle <= capacity:
            raise ValueError(f"min_idle must be from 0 to the capacity, {capacity}, got {min_idle}")
    is_coroutine = inspect.iscoroutinefunction(factory)
    if reset_method is not None and reset_method != "":
        if not isinstance(reset_method, str):
            raise TypeError(f"reset_method must be the name of a method, got {type(reset_method).__name__}")
        method = getattr(cls, reset_method, None)
        if not check_reset_method:
            flags |= _native.LENIENT_RESET
        elif not callable(method):
            raise PoolConfigurationError(
                f"{cls.__name__} has no method {reset_method!r}, which is to reset its objects; "
                "if only some of them have it, pass check_reset_method=False"
            )
        is_coroutine = is_coroutine or inspect.iscoroutinefunction(method)
    else:
        reset_method = None
    if is_coroutine:
        if not is_async:
            raise PoolConfigurationError("factory and reset_method cannot be async, but in an AsyncPool")
        if pre_initialize or min_idle:
            raise PoolConfigurationError("objects of an async factory or reset_method cannot be made in advance")
        flags |= _native.ASYNC_ONLY
    # `obj_type()` may differ from `cls()`: it may remember its parameters.
    maker = obj_type if factory is None and obj_type is not cls else factory
    managed = manager(validate, destroy, max_idle, max_lifetime, min_idle, warn_leaks)
    eager = capacity if pre_initialize else min_idle or 0
    return cls, capacity, maker, reset_method, flags, eager, growth_config, max_capacity, managed


def allocate(pool: Any) -> ContextHandle[Any]:
    """`allocate` of a subclass that has its own `get` or `release`."""
    return ContextHandle(pool.get(), pool.release)


def allocate_waiting(pool: Any, timeout: Any) -> ContextHandle[Any]:
    """The same of a `ThreadSafePool`, which waits."""
    return ContextHandle(pool.get(timeout=timeout), pool.release)


def allocate_async(pool: Any) -> AsyncContextHandle[Any]:
    """The same of an `AsyncPool`."""
    return AsyncContextHandle(pool.get(), pool.release)


def maintain(pool: Any) -> None:
    """What a timer may do for a pool of objects that go bad."""
    managed = _native.settings(pool)[4]
    stale = [] if managed is None else managed.stale()
    claims = _native.hold_idle(pool, stale)
    while claims:
        claim = claims.pop()
        # It may have been used in the meantime.
        if managed is not None and managed.is_stale(_native.object_in(claim)):
            _native.discard(claim)
        else:
            _native.vacate(claim)
    _native.reclaim(pool)
    if managed is not None:
        _native.make_idle(pool, managed.min_idle)


def stats(pool: Any) -> PoolStatistics:
    """The statistics of a pool."""
    return PoolStatistics(pool, _native.settings(pool)[3])


def pool_repr(pool: Any) -> str:
    """What `repr` says."""
    cls = _native.settings(pool)[0]
    return (
        f"{type(pool).__name__}(type={getattr(cls, '__name__', None)}, capacity={pool.capacity()}, "
        f"in_use={pool.size()}, available={pool.available()}, closed={pool.is_closed()})"
    )


def local_repr(pool: Any) -> str:
    """What `repr` says of a `ThreadLocalPool`."""
    return (
        f"{type(pool).__name__}(capacity={pool.capacity()}, in_use={pool.size()}, "
        f"available={pool.available()}, closed={pool.is_closed()})"
    )
