"""Handles for `with` blocks."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import Generic, TypeVar

from .._native import PoolHandle
from ..exceptions import AlreadyReleasedError

T = TypeVar("T")


class ContextHandle(ABC, Generic[T]):
    """Gives an object back at the end of a `with` block, by any function.

    What `pool.allocate()` returns is an instance of this class too, with the same methods, but native.
    """

    def __init__(self, obj: T, release_func: Callable[[T], object]) -> None:
        # The object in a list: `None` may be one.
        self._obj: list[T] = [obj]
        self._release_func = release_func

    def get(self) -> T:
        """Return the object."""
        if not self._obj:
            raise AlreadyReleasedError("object has already been released")
        return self._obj[0]

    def release(self) -> None:
        """Give the object back."""
        try:
            obj = self._obj.pop()
        except IndexError:
            raise AlreadyReleasedError("object has already been released") from None
        self._release_func(obj)

    def __enter__(self) -> T:
        return self.get()

    def __exit__(self, exc_type: object, exc_val: object, exc_tb: object) -> None:
        if self._obj:
            self.release()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(released={not self._obj})"


ContextHandle.register(PoolHandle)
