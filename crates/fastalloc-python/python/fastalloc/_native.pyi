"""The pools, written in Rust."""

from collections.abc import Awaitable, Callable, Coroutine
from types import GenericAlias
from typing import Any, Final, Generic, NoReturn, Self, SupportsIndex, TypeVar, final, overload

from typing_extensions import Buffer, disjoint_base

from ._buffers import BufferStatistics
from .config.builder import PoolBuilder
from .config.growth_strategy import GrowthConfig
from .stats.collector import PoolStatistics, StatsCollector

_T = TypeVar("_T")

STATISTICS: Final[int]
ASYNC_ONLY: Final[int]
LENIENT_RESET: Final[int]
WARN_LEAKS: Final[int]

@final
class PoolHandle(Generic[_T]):
    """Owns an object that is out of its pool, for a `with` block."""

    def get(self) -> _T: ...
    def release(self) -> None: ...
    def __enter__(self) -> _T: ...
    def __exit__(self, exc_type: object, exc_val: object, exc_tb: object, /) -> None: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __reduce__(self) -> NoReturn: ...

@final
class AsyncPoolHandle(Generic[_T]):
    """Owns an object that is out of its pool, or waits for one, for an `async with` block."""

    def get(self) -> _T: ...
    def release(self) -> None: ...
    def __aenter__(self) -> Coroutine[Any, Any, _T]: ...
    def __aexit__(self, exc_type: object, exc_val: object, exc_tb: object, /) -> Coroutine[Any, Any, None]: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __reduce__(self) -> NoReturn: ...

@disjoint_base
class FixedPool(Generic[_T]):
    """A pool that never grows.

    Objects are made by `factory`, or by `obj_type()`, when they are first needed, or all at once if `pre_initialize`. `get`
    returns the free object that was released last, after calling its `reset_method`. An object in use that nobody refers
    to any more comes back when the pool would be empty.

    An object that was released more than `max_idle` seconds ago, that was made more than `max_lifetime` seconds ago, or for
    which `validate` returns false, is not handed out again: another one is made in its place. `destroy` is called with each
    object that the pool parts with, but not if nobody has closed the pool.

    Raises `InvalidCapacityError` and `PoolConfigurationError` for settings that are wrong.
    """

    def __init__(
        self,
        obj_type: type[_T],
        capacity: int,
        *,
        factory: Callable[[], _T] | None = None,
        reset_method: str | None = None,
        enable_statistics: bool = False,
        pre_initialize: bool = False,
        check_reset_method: bool = True,
        validate: Callable[[_T], object] | None = None,
        destroy: Callable[[_T], object] | None = None,
        max_idle: float | None = None,
        max_lifetime: float | None = None,
        min_idle: int | None = None,
        warn_leaks: bool = False,
    ) -> None: ...
    def get(self) -> _T:
        """Take an object out; `release` gives it back. Raises `PoolEmptyError`, `PoolClosedError`."""

    def release(self, obj: _T, /) -> None:
        """Give an object back. Raises `TypeMismatchError`, `AlreadyReleasedError`."""

    def allocate(self) -> PoolHandle[_T]:
        """Take an object out for a `with` block, which gives it back."""

    def size(self) -> int:
        """How many objects are in use."""

    def capacity(self) -> int:
        """How many objects there can be."""

    def available(self) -> int:
        """How many objects there are that nobody uses."""

    def close(self) -> None:
        """Hand out nothing any more, and part with all objects; those in use when they are released."""

    def is_closed(self) -> bool:
        """Whether the pool is closed."""

    def maintain(self) -> None:
        """Part with idle objects that have been idle or alive too long, and make new ones until `min_idle` are idle.

        For a timer or a task of the program's: the pool starts no threads. Raises `PoolClosedError`, and what the factory raises.
        """

    def stats(self) -> PoolStatistics:
        """The statistics, which stay up to date."""

    @staticmethod
    def builder() -> PoolBuilder[Any]:
        """A new `PoolBuilder`."""

    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __reduce__(self) -> NoReturn: ...

@disjoint_base
class GrowingPool(Generic[_T]):
    """A pool that grows when all its objects are in use, by half its first capacity unless `growth_config` says how."""

    def __init__(
        self,
        obj_type: type[_T],
        capacity: int,
        *,
        max_capacity: int | None = None,
        growth_config: GrowthConfig | None = None,
        factory: Callable[[], _T] | None = None,
        reset_method: str | None = None,
        enable_statistics: bool = False,
        pre_initialize: bool = False,
        check_reset_method: bool = True,
        validate: Callable[[_T], object] | None = None,
        destroy: Callable[[_T], object] | None = None,
        max_idle: float | None = None,
        max_lifetime: float | None = None,
        min_idle: int | None = None,
        warn_leaks: bool = False,
    ) -> None: ...
    def get(self) -> _T: ...
    def release(self, obj: _T, /) -> None: ...
    def allocate(self) -> PoolHandle[_T]: ...
    def size(self) -> int: ...
    def capacity(self) -> int: ...
    def max_capacity(self) -> int | None:
        """How far the pool may grow; None means without end."""

    def available(self) -> int: ...
    def close(self) -> None: ...
    def is_closed(self) -> bool: ...
    def maintain(self) -> None: ...
    def stats(self) -> PoolStatistics: ...
    @staticmethod
    def builder() -> PoolBuilder[Any]: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __reduce__(self) -> NoReturn: ...

@disjoint_base
class ThreadSafePool(Generic[_T]):
    """A pool that threads share, and can wait for. Grows if it is given `max_capacity` or `growth_config`."""

    def __init__(
        self,
        obj_type: type[_T],
        capacity: int,
        *,
        max_capacity: int | None = None,
        growth_config: GrowthConfig | None = None,
        factory: Callable[[], _T] | None = None,
        reset_method: str | None = None,
        enable_statistics: bool = False,
        pre_initialize: bool = False,
        check_reset_method: bool = True,
        validate: Callable[[_T], object] | None = None,
        destroy: Callable[[_T], object] | None = None,
        max_idle: float | None = None,
        max_lifetime: float | None = None,
        min_idle: int | None = None,
        warn_leaks: bool = False,
    ) -> None: ...
    def get(self, *, timeout: float | None = 0) -> _T:
        """Take an object out; wait for one up to `timeout` seconds, for ever if it is None.

        First come, first served. Raises `PoolTimeoutError`, which is a `PoolEmptyError` and a `TimeoutError`.
        """

    def release(self, obj: _T, /) -> None: ...
    def allocate(self, *, timeout: float | None = 0) -> PoolHandle[_T]:
        """The same for a `with` block."""

    def size(self) -> int: ...
    def capacity(self) -> int: ...
    def max_capacity(self) -> int | None: ...
    def available(self) -> int: ...
    def close(self) -> None:
        """Hand out nothing any more, and part with all objects. Who waits gets a `PoolClosedError`."""

    def is_closed(self) -> bool: ...
    def maintain(self) -> None: ...
    def stats(self) -> PoolStatistics: ...
    @staticmethod
    def builder() -> PoolBuilder[Any]: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __reduce__(self) -> NoReturn: ...

@disjoint_base
class ThreadLocalPool(Generic[_T]):
    """A pool whose threads have objects of their own: up to `capacity` each. Any thread may release an object of any."""

    def __init__(
        self,
        obj_type: type[_T],
        capacity: int,
        *,
        factory: Callable[[], _T] | None = None,
        reset_method: str | None = None,
        enable_statistics: bool = False,
        pre_initialize: bool = False,
        check_reset_method: bool = True,
    ) -> None: ...
    def get(self) -> _T: ...
    def release(self, obj: _T, /) -> None: ...
    def allocate(self) -> PoolHandle[_T]: ...
    def size(self) -> int:
        """How many objects of the calling thread are in use."""

    def capacity(self) -> int:
        """How many objects each thread can have."""

    def available(self) -> int:
        """How many objects of the calling thread nobody uses."""

    def close(self) -> None: ...
    def is_closed(self) -> bool: ...
    def stats(self) -> StatsCollector:
        """The statistics of all threads together, those that have ended included, as they are now."""

    @staticmethod
    def builder() -> PoolBuilder[Any]: ...
    def _forget(self) -> None: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __reduce__(self) -> NoReturn: ...

@disjoint_base
class AsyncPool(Generic[_T]):
    """A pool for asyncio: tasks wait for objects, first come, first served. `factory` and reset may be async.

    Tasks may be cancelled at any time, and threads and event loops may share the pool.
    """

    def __init__(
        self,
        obj_type: type[_T],
        capacity: int,
        *,
        max_capacity: int | None = None,
        growth_config: GrowthConfig | None = None,
        factory: Callable[[], _T] | Callable[[], Awaitable[_T]] | None = None,
        reset_method: str | None = None,
        enable_statistics: bool = False,
        pre_initialize: bool = False,
        check_reset_method: bool = True,
        validate: Callable[[_T], object] | None = None,
        destroy: Callable[[_T], object] | None = None,
        max_idle: float | None = None,
        max_lifetime: float | None = None,
        min_idle: int | None = None,
        warn_leaks: bool = False,
    ) -> None: ...
    def get(self) -> _T:
        """Take an object out without waiting; raises `PoolEmptyError`."""

    def get_async(self, *, timeout: float | None = None) -> Coroutine[Any, Any, _T]:
        """Wait for an object, and take it out. Raises `PoolTimeoutError` after `timeout` seconds."""

    def release(self, obj: _T, /) -> None: ...
    def release_async(self, obj: _T, /) -> Coroutine[Any, Any, None]:
        """The same as `release`: gives the object back at once."""

    def allocate(self) -> AsyncPoolHandle[_T]:
        """Take an object out for an `async with` block, which waits for it, and gives it back."""

    def size(self) -> int: ...
    def capacity(self) -> int: ...
    def max_capacity(self) -> int | None: ...
    def available(self) -> int: ...
    def close(self) -> None:
        """Hand out nothing any more, and part with all objects. Who waits gets a `PoolClosedError`."""

    def is_closed(self) -> bool: ...
    def maintain(self) -> None: ...
    def stats(self) -> PoolStatistics: ...
    @staticmethod
    def builder() -> PoolBuilder[Any]: ...
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def __reduce__(self) -> NoReturn: ...

@final
class BufferPool:
    """A pool of memory, for whatever writes to a buffer: sockets, files, NumPy.

    `max_bytes` limits the memory that the pool has, in use and idle, and `max_idle_bytes` how much of it may be idle; None
    means without end. Memory comes in blocks of certain sizes, four for each doubling; what is counted is blocks. The
    address of each buffer is a multiple of `alignment`, for which a block may have up to so many bytes more.

    With `zero`, memory is zeroed when it comes back, so that all buffers are zero when they are handed out. Otherwise a
    buffer contains what was written to its memory the last time, if that is not new.

    Raises `InvalidCapacityError` and `PoolConfigurationError` for settings that are wrong.
    """

    def __new__(
        cls,
        max_bytes: int | None = None,
        *,
        max_idle_bytes: int | None = None,
        alignment: int = 64,
        zero: object = False,
        enable_statistics: object = False,
    ) -> Self: ...
    def get(self, nbytes: SupportsIndex, /) -> PooledBuffer:
        """Take a buffer of so many bytes out.

        Raises `PoolEmptyError` if there is no room until other buffers are released, `ValueError` if there can never be,
        `MemoryError` if the system has no more, `PoolClosedError`.
        """

    def release(self, buffer: PooledBuffer, /) -> None:
        """The same as `buffer.release()`. Raises `TypeMismatchError`, `AlreadyReleasedError`."""

    def size(self) -> int:
        """How many buffers are in use, those that were released and are still viewed included."""

    def available(self) -> int:
        """How many blocks of memory nobody uses."""

    def bytes_in_use(self) -> int:
        """How many bytes the blocks in use have."""

    def bytes_idle(self) -> int:
        """How many bytes the blocks have that nobody uses."""

    def max_bytes(self) -> int | None:
        """How many bytes all blocks may have; None means without end."""

    def trim(self) -> int:
        """Give the memory that nobody uses back to the system, and return how many bytes."""

    def close(self) -> None:
        """Hand out nothing any more, and keep no memory. Buffers in use stay good."""

    def is_closed(self) -> bool:
        """Whether the pool is closed."""

    def stats(self) -> BufferStatistics:
        """The statistics, as they are now."""

    def __reduce__(self) -> NoReturn: ...

@final
class PooledBuffer:
    """Bytes of a `BufferPool`: a context manager with a writable buffer, which begins with what `memoryview` can do.

    The memory is used again when the buffer has been released, or dropped, and its last view has gone: a `memoryview`, a
    NumPy array, a call that reads or writes. So views never see what somebody else writes.
    """

    def release(self) -> None:
        """Give the memory back: at once if there are no views, otherwise with the last of them.

        Raises `BufferReleasedError` the second time, as all uses of a released buffer do.
        """

    def is_released(self) -> bool:
        """Whether the buffer was released."""

    def exports(self) -> int:
        """How many views of the memory there are."""

    def __enter__(self) -> Self: ...
    def __exit__(self, exc_type: object, exc_val: object, exc_tb: object, /) -> None: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> memoryview: ...
    @overload
    def __setitem__(self, key: SupportsIndex, value: SupportsIndex, /) -> None: ...
    @overload
    def __setitem__(self, key: slice, value: Buffer, /) -> None: ...
    def __delitem__(self, key: Any, /) -> NoReturn: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __release_buffer__(self, buffer: memoryview, /) -> None: ...
    def __reduce__(self) -> NoReturn: ...

@final
class Claim:
    """A place in the line of those who wait, and then a slot that is held."""

def reserve(pool: Any, /) -> Claim | None: ...
def join(pool: Any, waker: Callable[[], bool | None], /) -> Claim: ...
def look_again(pool: Any, /) -> None: ...
def waiting(pool: Any, /) -> int: ...
def is_settled(claim: Claim, /) -> bool: ...
def fill(claim: Claim, obj: Any, /) -> None: ...
def object_in(claim: Claim, /) -> Any: ...
def has_object(claim: Claim, /) -> bool: ...
def is_fit(claim: Claim, /) -> bool: ...
def empty(claim: Claim, /) -> None: ...
def hand_out(claim: Claim, /) -> Any: ...
def lend(claim: Claim, handle: Any, /) -> Any: ...
def vacate(claim: Claim, /) -> None: ...
def discard(claim: Claim, /) -> None: ...
def has_out(pool: Any, obj: Any, /) -> bool: ...
def count_reset(pool: Any, /) -> None: ...
def hold_idle(pool: Any, ids: list[int], /) -> list[Claim]: ...
def make_idle(pool: Any, count: int, /) -> None: ...
def reclaim(pool: Any, /) -> int: ...
def settings(pool: Any, /) -> tuple[Any, Any, Any, bool, Any]: ...
def counters(pool: Any, /) -> tuple[int, ...]: ...
def reset_counters(pool: Any, /) -> None: ...
def bookkeeping(pool: Any, /) -> int: ...
