"""What the tests share."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from fastalloc import AsyncPool, FixedPool, GrowingPool, ThreadLocalPool, ThreadSafePool


class Thing:
    """An object to be pooled."""

    def __init__(self) -> None:
        self.resets = 0
        self.other: Any = None

    def reset(self) -> None:
        self.resets += 1


SYNC = [FixedPool, GrowingPool, ThreadSafePool, ThreadLocalPool]
ALL = [*SYNC, AsyncPool]


@pytest.fixture(params=SYNC, ids=lambda cls: cls.__name__)
def sync_pool(request: pytest.FixtureRequest) -> Any:
    """Each class of pools whose `allocate` is for `with`."""
    return request.param


@pytest.fixture(params=ALL, ids=lambda cls: cls.__name__)
def any_pool(request: pytest.FixtureRequest) -> Any:
    """Each class of pools."""
    return request.param


@pytest.fixture(autouse=True)
def no_garbage() -> Iterator[None]:
    """A pool that is collected too early or too late shows itself at the end of its test."""
    yield
    gc.collect()
