"""Objects that can go bad: connections, files, processes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any


class Manager:
    """Told by its pool what becomes of each object, and asked whether it may be used again."""

    __slots__ = ("_destroy", "_made", "_max_idle", "_max_lifetime", "_released", "_validate")

    def __init__(
        self,
        validate: Callable[[Any], object] | None,
        destroy: Callable[[Any], object] | None,
        max_idle: float,
        max_lifetime: float,
    ) -> None:
        self._validate = validate
        self._destroy = destroy
        self._max_idle = max_idle
        self._max_lifetime = max_lifetime
        # By `id`: the pool keeps the objects alive.
        self._made: dict[int, float] = {}
        self._released: dict[int, float] = {}

    def created(self, obj: Any) -> None:
        """The object is new."""
        self._made[id(obj)] = time.monotonic()

    def acquired(self, obj: Any) -> bool:
        """Whether an object that is to be used again is fit for it."""
        now = time.monotonic()
        if now - self._released.get(id(obj), now) > self._max_idle:
            return False
        if now - self._made.get(id(obj), now) > self._max_lifetime:
            return False
        return self._validate is None or bool(self._validate(obj))

    def released(self, obj: Any) -> bool:
        """Whether to keep it."""
        self._released[id(obj)] = time.monotonic()
        return True

    def destroyed(self, obj: Any) -> None:
        """The pool parts with the object."""
        self._made.pop(id(obj), None)
        self._released.pop(id(obj), None)
        if self._destroy is not None:
            self._destroy(obj)


def manager(validate: Any, destroy: Any, max_idle: Any, max_lifetime: Any) -> Manager | None:
    """A manager, if one is needed."""
    for name, function in (("validate", validate), ("destroy", destroy)):
        if function is not None and not callable(function):
            raise TypeError(f"{name} must be callable, got {type(function).__name__}")
    limits = []
    for name, seconds in (("max_idle", max_idle), ("max_lifetime", max_lifetime)):
        limits.append(math.inf if seconds is None else float(seconds))
        if not limits[-1] > 0:
            raise ValueError(f"{name} must be None or a positive number of seconds, got {seconds!r}")
    if validate is None and destroy is None and max_idle is None and max_lifetime is None:
        return None
    return Manager(validate, destroy, *limits)
