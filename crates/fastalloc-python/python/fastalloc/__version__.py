"""The version of the package."""

__version__ = "2.0.0"
__author__ = "the fastalloc authors"
__license__ = "MIT"
