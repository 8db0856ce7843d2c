"""FixedPool, where version 0.1 had it."""

from .._native import FixedPool

__all__ = ["FixedPool"]
