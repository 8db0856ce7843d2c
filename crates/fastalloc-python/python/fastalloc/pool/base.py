"""What all pools are instances of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from .._native import AsyncPool, FixedPool, GrowingPool, ThreadLocalPool, ThreadSafePool
from ..handle.context import ContextHandle
from ..stats.collector import StatsCollector

T = TypeVar("T")


class BasePool(ABC, Generic[T]):
    """The methods of all pools. The pools of this package are native, and registered here."""

    @abstractmethod
    def get(self) -> T:
        """Take an object out."""

    @abstractmethod
    def release(self, obj: T) -> None:
        """Give an object back."""

    def allocate(self) -> AbstractContextManager[T]:
        """Take an object out for a `with` block, which gives it back."""
        return ContextHandle(self.get(), self.release)

    @abstractmethod
    def size(self) -> int:
        """How many objects are in use."""

    @abstractmethod
    def capacity(self) -> int:
        """How many objects there can be."""

    @abstractmethod
    def available(self) -> int:
        """How many objects there are that nobody uses."""

    @abstractmethod
    def close(self) -> None:
        """Hand out nothing any more."""

    @abstractmethod
    def is_closed(self) -> bool:
        """Whether the pool is closed."""

    @abstractmethod
    def stats(self) -> StatsCollector:
        """The statistics."""


for _pool in (FixedPool, GrowingPool, ThreadSafePool, ThreadLocalPool, AsyncPool):
    BasePool.register(_pool)
