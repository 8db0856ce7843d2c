"""GrowingPool, where version 0.1 had it."""

from .._native import GrowingPool

__all__ = ["GrowingPool"]
