"""Owners of objects that are out of their pools."""

from .context import ContextHandle
from .owned import OwnedHandle
from .weak import WeakHandle

__all__ = ["ContextHandle", "OwnedHandle", "WeakHandle"]
