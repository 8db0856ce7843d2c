"""ThreadLocalPool, where version 0.1 had it."""

from .._native import ThreadLocalPool

__all__ = ["ThreadLocalPool"]
