"""What objects, allocators and handles have to offer."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Resettable(Protocol):
    """An object that can be made as good as new."""

    def reset(self) -> None:
        """Forget what its last user has done."""
        ...


class Allocator(Protocol[T]):
    """A container of free objects."""

    def push(self, obj: T) -> None:
        """Add an object."""
        ...

    def pop(self) -> T | None:
        """Take an object out, or return None."""
        ...

    def is_empty(self) -> bool:
        """Whether there is none."""
        ...

    def size(self) -> int:
        """How many there are."""
        ...

    def clear(self) -> None:
        """Drop all."""
        ...


class Handle(AbstractContextManager[T_co], Protocol[T_co]):
    """Owns an object that is out of its pool."""

    def get(self) -> T_co:
        """Return the object."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...
