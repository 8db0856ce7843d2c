"""Pools, one setting at a time."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from .._native import FixedPool, GrowingPool, ThreadLocalPool, ThreadSafePool
from ..exceptions import PoolConfigurationError
from .growth_strategy import GrowthConfig, GrowthStrategy, exponential_growth, linear_growth

T = TypeVar("T")


class PoolBuilder(Generic[T]):
    """Collects settings; `build` makes the pool that they ask for."""

    def __init__(self) -> None:
        self._obj_type: builtins.type[T] | None = None
        self._capacity: int | None = None
        self._max_capacity: int | None = None
        self._growth_strategy: GrowthStrategy | None = None
        self._growth_increment: int | None = None
        self._growth_factor: float | None = None
        self._factory: Callable[[], T] | None = None
        self._reset_method: str | None = None
        self._enable_statistics = False
        self._pre_initialize = False
        self._thread_safe = False
        self._thread_local = False

    def type(self, obj_type: builtins.type[T]) -> PoolBuilder[T]:
        """What the objects are instances of."""
        self._obj_type = obj_type
        return self

    def capacity(self, capacity: int) -> PoolBuilder[T]:
        """How many objects there can be at first."""
        self._capacity = capacity
        return self

    def max_capacity(self, max_capacity: int) -> PoolBuilder[T]:
        """How many there can be after growth. Without a strategy, the pool grows by half its capacity at a time."""
        self._max_capacity = max_capacity
        return self

    def growth_strategy(
        self, strategy: GrowthStrategy, increment: int | None = None, factor: float | None = None
    ) -> PoolBuilder[T]:
        """How the pool grows: `LINEAR` needs an increment, `EXPONENTIAL` a factor."""
        self._growth_strategy = strategy
        self._growth_increment = increment
        self._growth_factor = factor
        return self

    def pre_initialize(self, pre_initialize: bool) -> PoolBuilder[T]:
        """Whether all objects are made at once."""
        self._pre_initialize = pre_initialize
        return self

    def factory(self, factory: Callable[[], T]) -> PoolBuilder[T]:
        """What makes an object, in place of the type."""
        self._factory = factory
        return self

    def reset_method(self, method_name: str) -> PoolBuilder[T]:
        """The method that is called before an object is handed out."""
        self._reset_method = method_name
        return self

    def enable_statistics(self, enable: bool) -> PoolBuilder[T]:
        """Whether the pool counts what happens."""
        self._enable_statistics = enable
        return self

    def thread_safe(self, thread_safe: bool) -> PoolBuilder[T]:
        """Whether threads share the pool."""
        self._thread_safe = thread_safe
        return self

    def thread_local(self, thread_local: bool) -> PoolBuilder[T]:
        """Whether each thread has objects of its own."""
        self._thread_local = thread_local
        return self

    def build(self) -> FixedPool[T] | GrowingPool[T] | ThreadSafePool[T] | ThreadLocalPool[T]:
        """Make the pool, or raise `PoolConfigurationError`."""
        if self._obj_type is None:
            raise PoolConfigurationError("object type is required")
        if self._capacity is None:
            raise PoolConfigurationError("capacity is required")
        if self._thread_safe and self._thread_local:
            raise PoolConfigurationError("cannot be both thread-safe and thread-local")
        grows = self._growth_strategy is not None or self._max_capacity is not None
        if self._thread_local and grows:
            raise PoolConfigurationError("thread-local pools do not grow: drop growth_strategy and max_capacity")

        settings: dict[str, Any] = {
            "factory": self._factory,
            "reset_method": self._reset_method,
            "enable_statistics": self._enable_statistics,
            "pre_initialize": self._pre_initialize,
        }
        if self._thread_local:
            return ThreadLocalPool(self._obj_type, self._capacity, **settings)
        if not grows:
            fixed = ThreadSafePool if self._thread_safe else FixedPool
            return fixed(self._obj_type, self._capacity, **settings)
        growing = ThreadSafePool if self._thread_safe else GrowingPool
        return growing(
            self._obj_type,
            self._capacity,
            max_capacity=self._max_capacity,
            growth_config=self._build_growth_config(),
            **settings,
        )

    def _build_growth_config(self) -> GrowthConfig | None:
        if self._growth_strategy is None:
            return None
        if self._growth_strategy == GrowthStrategy.LINEAR:
            if self._growth_increment is None:
                raise PoolConfigurationError("linear growth requires increment")
            return linear_growth(self._growth_increment, self._max_capacity)
        if self._growth_strategy == GrowthStrategy.EXPONENTIAL:
            if self._growth_factor is None:
                raise PoolConfigurationError("exponential growth requires factor")
            return exponential_growth(self._growth_factor, self._max_capacity)
        raise PoolConfigurationError(f"unknown growth strategy: {self._growth_strategy}")
