"""How pools are set up."""

from .builder import PoolBuilder
from .growth_strategy import GrowthConfig, GrowthStrategy, exponential_growth, linear_growth
from .initialization import InitializationStrategy

__all__ = [
    "GrowthConfig",
    "GrowthStrategy",
    "InitializationStrategy",
    "PoolBuilder",
    "exponential_growth",
    "linear_growth",
]
