"""Objects that can go bad: connections, files, processes."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any


class Manager:
    """Told by its pool what becomes of each object, and asked whether it may be used again."""

    __slots__ = ("_destroy", "_made", "_max_idle", "_max_lifetime", "_places", "_released", "_validate", "min_idle")

    def __init__(
        self,
        validate: Callable[[Any], object] | None,
        destroy: Callable[[Any], object] | None,
        max_idle: float,
        max_lifetime: float,
        min_idle: int,
    ) -> None:
        self._validate = validate
        self._destroy = destroy
        self._max_idle = max_idle
        self._max_lifetime = max_lifetime
        self.min_idle = min_idle
        # By `id`: the pool keeps the objects alive.
        self._made: dict[int, float] = {}
        self._released: dict[int, float] = {}
        self._places: dict[int, tuple[str, int]] = {}

    def created(self, obj: Any) -> None:
        """The object is new."""
        self._made[id(obj)] = time.monotonic()

    def is_stale(self, obj: Any) -> bool:
        """Whether the object, which nobody uses, has been idle or alive too long."""
        return self._is_stale(id(obj), time.monotonic())

    def _is_stale(self, key: int, now: float) -> bool:
        idle, age = now - self._released.get(key, self._made.get(key, now)), now - self._made.get(key, now)
        return idle > self._max_idle or age > self._max_lifetime

    def stale(self) -> list[int]:
        """The ids of the objects that have been idle or alive too long; some may be in use."""
        now = time.monotonic()
        return [key for key in list(self._made) if self._is_stale(key, now)]

    def acquired(self, obj: Any) -> bool:
        """Whether an object that is to be used again is fit for it."""
        return not self.is_stale(obj) and (self._validate is None or bool(self._validate(obj)))

    def taken(self, obj: Any) -> None:
        """The object is handed out, and whoever wants to know where shall know."""
        place = _place()
        if place is not None:
            self._places[id(obj)] = place

    def leaked(self, obj: Any) -> None:
        """Nobody has released the object, and nobody can any more."""
        text = f"a {type(obj).__qualname__} of a pool was dropped without a release"
        place = self._places.pop(id(obj), None)
        if place is None:
            warnings.warn(text, ResourceWarning, stacklevel=2)
        else:
            warnings.warn_explicit(f"{text}: it was taken at {place[0]}:{place[1]}", ResourceWarning, *place)

    def released(self, obj: Any) -> bool:
        """Whether to keep it."""
        self._released[id(obj)] = time.monotonic()
        self._places.pop(id(obj), None)
        return True

    def destroyed(self, obj: Any) -> None:
        """The pool parts with the object."""
        self._made.pop(id(obj), None)
        self._released.pop(id(obj), None)
        self._places.pop(id(obj), None)
        if self._destroy is not None:
            self._destroy(obj)


def _place() -> tuple[str, int] | None:
    """The line of the program that has called this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("fastalloc."):
        frame = frame.f_back
    return None if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def manager(
    validate: Any, destroy: Any, max_idle: Any, max_lifetime: Any, min_idle: int | None, warn_leaks: Any
) -> Manager | None:
    """A manager, if one is needed."""
    for name, function in (("validate", validate), ("destroy", destroy)):
        if function is not None and not callable(function):
            raise TypeError(f"{name} must be callable, got {type(function).__name__}")
    limits: dict[str, float] = {}
    for name, seconds in (("max_idle", max_idle), ("max_lifetime", max_lifetime)):
        limits[name] = math.inf if seconds is None else float(seconds)
        if not limits[name] > 0:
            raise ValueError(f"{name} must be None or a positive number of seconds, got {seconds!r}")
    if all(setting is None for setting in (validate, destroy, max_idle, max_lifetime, min_idle)) and not warn_leaks:
        return None
    return Manager(validate, destroy, **limits, min_idle=min_idle or 0)
