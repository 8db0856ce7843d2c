"""A stack of free objects."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class StackAllocator(Generic[T]):
    """The object pushed last comes first."""

    def __init__(self) -> None:
        self._objects: list[T] = []

    def push(self, obj: T) -> None:
        """Add an object."""
        self._objects.append(obj)

    def pop(self) -> T | None:
        """Take an object out, or return None."""
        return self._objects.pop() if self._objects else None

    def is_empty(self) -> bool:
        """Whether there is none."""
        return not self._objects

    def size(self) -> int:
        """How many there are."""
        return len(self._objects)

    def clear(self) -> None:
        """Drop all."""
        self._objects.clear()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size()})"
