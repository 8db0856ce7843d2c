"""The version of the package."""

from typing import Final

__version__: Final = "2.0.0"
__author__: Final = "the fastalloc authors"
__license__: Final = "MIT"
