"""Handles that do not keep their object alive."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from ..exceptions import AlreadyReleasedError

T = TypeVar("T")


class WeakHandle(Generic[T]):
    """Refers to an object weakly. A pool keeps its objects alive: whoever else uses one must hold it."""

    def __init__(self, obj: T, release_func: Callable[[T], object]) -> None:
        self._ref = weakref.ref(obj)
        self._release_func = release_func
        self._released = False

    def get(self) -> T:
        """Return the object."""
        if self._released:
            raise AlreadyReleasedError("object has already been released")
        obj = self._ref()
        if obj is None:
            raise AlreadyReleasedError("object has been garbage collected")
        return obj

    def release(self) -> None:
        """Give the object back, if it is still alive."""
        if self.is_released():
            raise AlreadyReleasedError("object has already been released")
        self._released = True
        obj = self._ref()
        if obj is not None:
            self._release_func(obj)

    def is_released(self) -> bool:
        """Whether the object has been given back, or is gone."""
        return self._released or self._ref() is None

    def is_alive(self) -> bool:
        """Whether the object can be had."""
        return not self.is_released()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(released={self._released}, alive={self.is_alive()})"
