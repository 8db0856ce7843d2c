"""Pools for asyncio."""

from .._native import AsyncPool
from .handle import AsyncContextHandle

__all__ = ["AsyncContextHandle", "AsyncPool"]
