"""Containers of free objects, public since version 0.1. The pools do not use them: they count slots natively."""

from .deque import DequeAllocator
from .freelist import FreelistAllocator
from .stack import StackAllocator

__all__ = ["DequeAllocator", "FreelistAllocator", "StackAllocator"]
