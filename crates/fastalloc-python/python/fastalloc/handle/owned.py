"""Handles that give their object back when they are dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ..exceptions import AlreadyReleasedError

T = TypeVar("T")


class OwnedHandle(Generic[T]):
    """Gives an object back by `release`, or when nobody refers to the handle any more."""

    def __init__(self, obj: T, release_func: Callable[[T], object]) -> None:
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

    def is_released(self) -> bool:
        """Whether the object has been given back."""
        return not self._obj

    def __del__(self) -> None:
        # Empty, or missing if `__init__` failed.
        if getattr(self, "_obj", None):
            try:
                self.release()
            except Exception:
                # There is nobody to tell: the pool may have got the object back without this handle.
                pass

    def __repr__(self) -> str:
        return f"{type(self).__name__}(released={not self._obj})"
