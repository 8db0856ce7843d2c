"""What can go wrong. All errors of this package are `FastAllocError`."""

from __future__ import annotations

from typing import Any


class FastAllocError(Exception):
    """The base of all errors of this package."""


class PoolEmptyError(FastAllocError):
    """All objects are in use. Release one, wait for one, or make the pool larger."""


class PoolTimeoutError(PoolEmptyError, TimeoutError):
    """No object was released in the time that the caller was ready to wait."""


class PoolClosedError(FastAllocError):
    """The pool was closed: it hands out nothing any more."""


class TypeMismatchError(FastAllocError):
    """An object is not an instance of the type that the pool is for."""

    def __init__(self, expected_type: type, actual_type: type, message: str = "") -> None:
        self.expected_type = expected_type
        self.actual_type = actual_type
        super().__init__(
            message or f"type mismatch: expected {expected_type.__name__}, got {actual_type.__name__}"
        )

    def __reduce__(self) -> tuple[type[TypeMismatchError], tuple[type, type, str]]:
        return type(self), (self.expected_type, self.actual_type, str(self))


class InvalidCapacityError(FastAllocError, ValueError):
    """A capacity that no pool can have."""

    def __init__(self, capacity: Any, message: str = "") -> None:
        self.capacity = capacity
        super().__init__(message or f"invalid capacity: {capacity}")

    def __reduce__(self) -> tuple[type[InvalidCapacityError], tuple[Any, str]]:
        return type(self), (self.capacity, str(self))


class AlreadyReleasedError(FastAllocError):
    """The object is not out: it was released before, or it is not from this pool."""


class BufferReleasedError(AlreadyReleasedError, BufferError):
    """The buffer was released before: views that it has had are still good, but there can be no new ones."""


class PoolConfigurationError(FastAllocError):
    """Settings that are wrong, or that contradict each other."""
