"""A deque of free objects."""

from __future__ import annotations

from typing import TypeVar

from .stack import StackAllocator

T = TypeVar("T")


class DequeAllocator(StackAllocator[T]):
    """The same as `StackAllocator`: in version 0.1 too, the object pushed last came first."""
