"""ThreadSafePool, where version 0.1 had it."""

from .._native import ThreadSafePool

__all__ = ["ThreadSafePool"]
