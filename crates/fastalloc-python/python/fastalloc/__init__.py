"""Object pools: reuse objects instead of creating them."""

from .__version__ import __version__
from ._native import BufferPool, PooledBuffer
from .async_support import AsyncPool
from .config import GrowthConfig, GrowthStrategy, InitializationStrategy, PoolBuilder
from .decorators import pooled
from .exceptions import (
    AlreadyReleasedError,
    BufferReleasedError,
    FastAllocError,
    InvalidCapacityError,
    PoolClosedError,
    PoolConfigurationError,
    PoolEmptyError,
    PoolTimeoutError,
    TypeMismatchError,
)
from .pool import FixedPool, GrowingPool, ThreadLocalPool, ThreadSafePool
from .protocols import Resettable
from .stats import StatsCollector, StatsReporter

Pool = FixedPool

__all__ = [
    "AlreadyReleasedError",
    "AsyncPool",
    "BufferPool",
    "BufferReleasedError",
    "FastAllocError",
    "FixedPool",
    "GrowingPool",
    "GrowthConfig",
    "GrowthStrategy",
    "InitializationStrategy",
    "InvalidCapacityError",
    "Pool",
    "PoolBuilder",
    "PoolClosedError",
    "PoolConfigurationError",
    "PoolEmptyError",
    "PoolTimeoutError",
    "PooledBuffer",
    "Resettable",
    "StatsCollector",
    "StatsReporter",
    "ThreadLocalPool",
    "ThreadSafePool",
    "TypeMismatchError",
    "__version__",
    "pooled",
]
