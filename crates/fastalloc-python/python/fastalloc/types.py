"""Names for types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar, Union

from .protocols import Resettable

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Factory: TypeAlias = Callable[[], T]
ResetFunction: TypeAlias = Callable[[T], None]
Capacity: TypeAlias = int
StatsDict: TypeAlias = dict[str, Union[int, float, str]]


class PoolProtocol(Protocol[T]):
    """What every pool can do."""

    def get(self) -> T:
        """Take an object out."""
        ...

    def release(self, obj: T, /) -> None:
        """Give an object back."""
        ...

    def size(self) -> int:
        """How many objects are in use."""
        ...

    def capacity(self) -> int:
        """How many objects there can be."""
        ...

    def available(self) -> int:
        """How many objects there are that nobody uses."""
        ...

    def close(self) -> None:
        """Hand out nothing any more."""
        ...


__all__ = ["Capacity", "Factory", "PoolProtocol", "ResetFunction", "Resettable", "StatsDict", "T", "T_co"]
