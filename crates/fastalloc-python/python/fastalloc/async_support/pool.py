"""AsyncPool, where version 0.1 had it."""

from .._native import AsyncPool

__all__ = ["AsyncPool"]
