"""Object pools: reuse objects instead of creating them."""

from .__version__ import __version__
from .async_support import AsyncPool
from .config import GrowthConfig, GrowthStrategy, InitializationStrategy, PoolBuilder
from .decorators import pooled
from .exceptions import (
    AlreadyReleasedError,
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
    "Resettable",
    "StatsCollector",
    "StatsReporter",
    "ThreadLocalPool",
    "ThreadSafePool",
    "TypeMismatchError",
    "__version__",
    "pooled",
]
