"""When objects are made."""

from enum import Enum, auto


class InitializationStrategy(Enum):
    """When the objects of a pool are made."""

    EAGER = auto()
    LAZY = auto()
