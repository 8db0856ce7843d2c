"""Classes that have a pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, Union

from ._native import FixedPool, GrowingPool, ThreadLocalPool, ThreadSafePool
from .config.growth_strategy import GrowthConfig, GrowthStrategy, exponential_growth, linear_growth
from .exceptions import PoolConfigurationError

T = TypeVar("T")

AnyPool = Union[FixedPool[Any], GrowingPool[Any], ThreadSafePool[Any], ThreadLocalPool[Any]]


def pooled(
    capacity: int,
    *,
    thread_safe: bool = False,
    thread_local: bool = False,
    max_capacity: int | None = None,
    growth_strategy: GrowthStrategy | GrowthConfig | None = None,
    pre_initialize: bool = False,
    reset_method: str | None = None,
    enable_statistics: bool = False,
) -> Callable[[type[T]], type[T]]:
    """Give a class a pool of its instances, as `cls.pool`, and its subclasses pools of theirs."""

    def growth() -> GrowthConfig | None:
        if growth_strategy is None or isinstance(growth_strategy, GrowthConfig):
            return growth_strategy
        if growth_strategy is GrowthStrategy.LINEAR:
            return linear_growth(max(1, capacity // 2), max_capacity)
        if growth_strategy is GrowthStrategy.EXPONENTIAL:
            return exponential_growth(2.0, max_capacity)
        raise ValueError("growth_strategy must be GrowthStrategy or GrowthConfig")

    def make(cls: type[Any], eager: bool) -> AnyPool:
        settings: dict[str, Any] = {
            "reset_method": reset_method,
            "enable_statistics": enable_statistics,
            "pre_initialize": eager,
        }
        grows = growth_strategy is not None or max_capacity is not None
        if thread_local:
            if grows:
                raise PoolConfigurationError("thread-local pools do not grow: drop growth_strategy and max_capacity")
            return ThreadLocalPool(cls, capacity, **settings)
        if grows:
            settings |= {"max_capacity": max_capacity, "growth_config": growth()}
            return (ThreadSafePool if thread_safe else GrowingPool)(cls, capacity, **settings)
        return (ThreadSafePool if thread_safe else FixedPool)(cls, capacity, **settings)

    def decorator(cls: type[T]) -> type[T]:
        if thread_safe and thread_local:
            raise ValueError("cannot be both thread_safe and thread_local")
        own_hook = cls.__dict__.get("__init_subclass__")

        def init_subclass(subclass: type[Any], /, **arguments: Any) -> None:
            if own_hook is None:
                super(cls, subclass).__init_subclass__(**arguments)
            else:
                own_hook.__get__(None, subclass)(**arguments)
            if "pool" not in subclass.__dict__:
                # Not eagerly: decorators of the subclass, such as `dataclass`, have not run yet.
                subclass.pool = make(subclass, False)

        setattr(cls, "pool", make(cls, pre_initialize))
        setattr(cls, "__init_subclass__", classmethod(init_subclass))
        return cls

    return decorator
