"""How pools grow."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class GrowthStrategy(Enum):
    """How a pool grows: by a number of objects, or by a factor."""

    LINEAR = 1
    EXPONENTIAL = 2


@dataclass(frozen=True)
class GrowthConfig:
    """A strategy and its numbers."""

    strategy: GrowthStrategy
    increment: int | None = None
    factor: float | None = None
    max_capacity: int | None = None

    def calculate_new_capacity(self, current_capacity: int) -> int:
        """The capacity after the next step, at most `max_capacity`."""
        if self.strategy == GrowthStrategy.LINEAR:
            if self.increment is None or self.increment <= 0:
                raise ValueError("linear growth requires positive increment")
            new_capacity = current_capacity + self.increment
        elif self.strategy == GrowthStrategy.EXPONENTIAL:
            if self.factor is None or not self.factor > 1.0:
                raise ValueError("exponential growth requires factor > 1.0")
            new_capacity = max(int(current_capacity * self.factor), current_capacity + 1)
        else:
            raise ValueError(f"unknown growth strategy: {self.strategy}")
        return new_capacity if self.max_capacity is None else min(new_capacity, self.max_capacity)

    def can_grow(self, current_capacity: int) -> bool:
        """Whether `max_capacity` is still above."""
        return self.max_capacity is None or current_capacity < self.max_capacity


def linear_growth(increment: int, max_capacity: int | None = None) -> GrowthConfig:
    """Grow by that many objects at a time."""
    if increment <= 0:
        raise ValueError(f"increment must be positive, got {increment}")
    return GrowthConfig(GrowthStrategy.LINEAR, increment=increment, max_capacity=max_capacity)


def exponential_growth(factor: float, max_capacity: int | None = None) -> GrowthConfig:
    """Grow to that many times the capacity."""
    if not factor > 1.0:
        raise ValueError(f"factor must be > 1.0, got {factor}")
    return GrowthConfig(GrowthStrategy.EXPONENTIAL, factor=factor, max_capacity=max_capacity)
