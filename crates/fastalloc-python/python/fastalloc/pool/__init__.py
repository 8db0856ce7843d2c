"""The pools."""

from .._native import FixedPool, GrowingPool, ThreadLocalPool, ThreadSafePool
from .base import BasePool

__all__ = ["BasePool", "FixedPool", "GrowingPool", "ThreadLocalPool", "ThreadSafePool"]
