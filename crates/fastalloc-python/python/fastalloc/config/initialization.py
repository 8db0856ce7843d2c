"""When objects are made."""

from enum import Enum


class InitializationStrategy(Enum):
    """When the objects of a pool are made."""

    EAGER = 1
    LAZY = 2
