"""A list of free objects."""

from __future__ import annotations

from typing import TypeVar

from .stack import StackAllocator

T = TypeVar("T")


class FreelistAllocator(StackAllocator[T]):
    """The same as `StackAllocator`, under the name that version 0.1 had for it."""
