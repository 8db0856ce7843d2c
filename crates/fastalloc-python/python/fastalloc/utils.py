"""Helpers that the package has for itself, and that were public in version 0.1."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from .exceptions import InvalidCapacityError, TypeMismatchError

T = TypeVar("T")


def has_slots(cls: type[Any]) -> bool:
    """Whether a class, or a base of it, defines `__slots__`."""
    return hasattr(cls, "__slots__")


def validate_type(obj: Any, expected_type: type[Any]) -> None:
    """Raise `TypeMismatchError` unless the object is an instance of the type."""
    if not isinstance(obj, expected_type):
        raise TypeMismatchError(expected_type=expected_type, actual_type=type(obj))


def safe_reset(obj: Any, method_name: str = "reset") -> bool:
    """Call the method if there is one, and say whether there was."""
    method = getattr(obj, method_name, None)
    if callable(method):
        method()
        return True
    return False


def make_factory(cls: type[T], *args: Any, **kwargs: Any) -> Callable[[], T]:
    """Return a function that makes an instance with these arguments."""

    def factory() -> T:
        return cls(*args, **kwargs)

    return factory


def try_weakref(
    obj: T, callback: Callable[[weakref.ReferenceType[T]], None] | None = None
) -> weakref.ReferenceType[T] | None:
    """Return a weak reference, or None if the object's type has none."""
    try:
        return weakref.ref(obj, callback)
    except TypeError:
        return None


def is_same_object(obj1: Any, obj2: Any) -> bool:
    """Whether both are the same object."""
    return obj1 is obj2


def object_id(obj: Any) -> int:
    """The object's `id`."""
    return id(obj)


def validate_capacity(capacity: int, name: str = "capacity") -> int:
    """Return the capacity, or raise `InvalidCapacityError`, which is a `ValueError`."""
    if not isinstance(capacity, int):
        raise InvalidCapacityError(capacity, f"{name} must be an integer, got {type(capacity).__name__}")
    if capacity <= 0:
        raise InvalidCapacityError(capacity, f"{name} must be positive, got {capacity}")
    return capacity


def validate_max_capacity(initial: int, maximum: int | None) -> int | None:
    """Return the maximum, or raise `InvalidCapacityError` unless it is None or larger than the initial capacity."""
    if maximum is None:
        return None
    if not isinstance(maximum, int):
        raise InvalidCapacityError(maximum, f"max_capacity must be an integer, got {type(maximum).__name__}")
    if maximum <= initial:
        raise InvalidCapacityError(maximum, f"max_capacity ({maximum}) must be greater than capacity ({initial})")
    return maximum


def clamp(value: int, minimum: int, maximum: int) -> int:
    """The value, or the bound that it is beyond."""
    return max(minimum, min(value, maximum))
