"""The pools of the threads of a `ThreadLocalPool`: one lane for each."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from . import _native
from .exceptions import AlreadyReleasedError, PoolClosedError
from .stats.collector import StatsCollector
from .utils import validate_type


class _Thread:
    """Notices that a thread ends: the only reference to it is in a `threading.local`."""

    def __init__(self, lanes: Lanes, lane: _native.FixedPool[Any]) -> None:
        self.lane = lane
        self._lanes = weakref.ref(lanes)

    def __del__(self) -> None:
        lanes = self._lanes()
        if lanes is not None:
            lanes.end(self.lane)


class Lanes:
    """Which lane is whose."""

    def __init__(
        self, cls: type[Any], capacity: int, statistics: bool, make: Callable[[], _native.FixedPool[Any]]
    ) -> None:
        self._class = cls
        self._capacity = capacity
        self._make = make
        self._local = threading.local()
        self._lanes: dict[int, _native.FixedPool[Any]] = {}
        # What the lanes of threads that have ended had counted.
        self._ended = StatsCollector(enabled=statistics)
        self._closed = False
        self._pool: Any = lambda: None

    def attach(self, pool: Any) -> None:
        """Learn whose lanes these are."""
        self._pool = weakref.ref(pool)

    def lane(self) -> _native.FixedPool[Any]:
        """The lane of the calling thread; made when it comes for the first time."""
        thread: _Thread | None = getattr(self._local, "thread", None)
        if thread is not None:
            return thread.lane
        if self._closed:
            raise PoolClosedError("pool is closed")
        lane = self._make()
        self._local.thread = _Thread(self, lane)
        self._lanes[id(lane)] = lane
        if self._closed:
            lane.close()
        self._prune()
        return lane

    def end(self, lane: _native.FixedPool[Any]) -> None:
        """The thread of this lane has ended: its free objects go, the others when they are released."""
        lane.close()
        pool = self._pool()
        if pool is not None:
            pool._forget()
        self._prune()

    def _prune(self) -> None:
        """Part with closed lanes that have nothing out any more."""
        for key, lane in list(self._lanes.items()):
            if lane.is_closed():
                if lane.size():
                    _native.reclaim(lane)
                if not lane.size() and self._lanes.pop(key, None) is not None:
                    self._ended.merge(lane.stats())

    def release(self, obj: Any) -> None:
        """Give an object back to the lane that it is from, whatever thread that is."""
        thread: _Thread | None = getattr(self._local, "thread", None)
        own = [] if thread is None else [thread.lane]
        for lane in [*own, *self._lanes.values()]:
            if _native.has_out(lane, obj):
                lane.release(obj)
                if lane.is_closed():
                    self._prune()
                return
        validate_type(obj, self._class)
        raise AlreadyReleasedError("object was already released or not from this pool")

    def _known(self) -> _native.FixedPool[Any] | None:
        """The lane of the calling thread, or None if it may not have one any more."""
        try:
            return self.lane()
        except PoolClosedError:
            return None

    def size(self) -> int:
        """How many objects of the calling thread are in use."""
        lane = self._known()
        return 0 if lane is None else lane.size()

    def available(self) -> int:
        """How many objects of the calling thread nobody uses."""
        lane = self._known()
        return 0 if lane is None else lane.available()

    def capacity(self) -> int:
        """How many objects each thread can have."""
        return self._capacity

    def close(self) -> None:
        """Close all lanes."""
        self._closed = True
        for lane in list(self._lanes.values()):
            lane.close()

    def is_closed(self) -> bool:
        """Whether they are closed."""
        return self._closed

    def stats(self) -> StatsCollector:
        """What all threads have done, those that have ended included."""
        total = StatsCollector(enabled=self._ended.enabled)
        total.merge(self._ended)
        for lane in list(self._lanes.values()):
            total.merge(lane.stats())
            total.current_in_use += lane.size()
            if total.enabled:
                total.current_capacity += lane.capacity()
        return total
