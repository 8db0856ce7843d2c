"""Random programs, for each pool and a model too simple to be wrong."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from fastalloc import AlreadyReleasedError, AsyncPool, GrowingPool, PoolClosedError, PoolEmptyError

from .conftest import ALL, Thing


class Moody(Thing):
    """An object whose reset may fail."""

    fails = False

    def reset(self) -> None:
        if self.fails:
            raise ZeroDivisionError


class Machine(RuleBasedStateMachine):
    """`out`: what is in use, each with its handle or None; `free`: what is not, the next one last."""

    cls: type[Any]

    def __init__(self) -> None:
        super().__init__()
        self.out: list[tuple[Any, Any]] = []
        self.free: list[Any] = []
        self.closed = False
        self.stale: list[Any] = []

    @initialize(capacity=st.integers(1, 5), twins=st.booleans(), reset=st.booleans(), statistics=st.booleans())
    def make(self, capacity: int, twins: bool, reset: bool, statistics: bool) -> None:
        self.one = Moody() if twins else None
        self.fails = False
        self.limit = capacity
        more: dict[str, Any] = {}
        if self.cls is GrowingPool:
            more = {"max_capacity": capacity + 3}
            self.limit += 3
        self.reset = reset
        self.pool = self.cls(
            Moody,
            capacity,
            factory=self.factory,
            reset_method="reset" if reset else None,
            enable_statistics=statistics,
            **more,
        )

    def factory(self) -> Moody:
        if self.fails:
            raise KeyError
        return self.one or Moody()

    def take(self, call: Any) -> Any:
        """Calls what takes an object out, and checks what it does against the model."""
        if self.closed:
            with pytest.raises(PoolClosedError):
                call()
            return None
        if not self.free and len(self.out) == self.limit:
            # Twins are never abandoned; other objects are all referred to by `out`.
            with pytest.raises(PoolEmptyError):
                call()
            return None
        available = self.pool.available()
        assert available == len(self.free) or self.cls is GrowingPool
        return call()

    def taken(self, thing: Any, handle: Any) -> None:
        if self.free:
            assert thing is self.free.pop()
        elif self.cls is GrowingPool:
            # A growth step makes several objects; which, the pool knows.
            pass
        self.out.append((thing, handle))

    @rule()
    def get(self) -> None:
        thing = self.take(self.pool.get)
        if thing is not None:
            self.taken(thing, None)
            self.synchronize()

    @rule()
    def allocate(self) -> None:
        if self.cls is AsyncPool and not self.closed and not self.free and len(self.out) == self.limit:
            with pytest.raises(AlreadyReleasedError):
                self.pool.allocate().get()
            return
        handle = self.take(self.pool.allocate)
        if handle is not None:
            self.taken(handle.get(), handle)
            self.synchronize()

    def synchronize(self) -> None:
        """Learns from the pool what a growth step has made."""
        extra = self.pool.available() - len(self.free)
        if extra > 0:
            assert self.cls is GrowingPool
            things = [self.pool.get() for _ in range(extra)]
            for thing in reversed(things):
                self.pool.release(thing)
            self.free[:0] = reversed(things)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def release(self, data: Any) -> None:
        position = data.draw(st.integers(0, len(self.out) - 1))
        thing, handle = self.out.pop(position)
        if handle is not None and data.draw(st.booleans()):
            handle.release()
        elif self.one is not None:
            # Of equal objects, any may be taken for this one: the model cannot know which handle loses its power.
            if handle is not None:
                handle.release()
            elif all(other is None for _, other in self.out):
                self.pool.release(thing)
            else:
                self.out.append((thing, handle))
                return
        else:
            self.pool.release(thing)
            if handle is not None:
                self.stale.append(handle)
        if not self.closed:
            self.free.append(thing)

    @precondition(lambda self: self.out and self.one is None)
    @rule(data=st.data())
    def abandon(self, data: Any) -> None:
        """Drops a handle, which is noticed at once."""
        handled = [position for position, (_, handle) in enumerate(self.out) if handle is not None]
        if handled:
            thing, handle = self.out.pop(data.draw(st.sampled_from(handled)))
            del handle
            if not self.closed:
                self.free.append(thing)

    @rule()
    def refuse(self) -> None:
        with pytest.raises(AlreadyReleasedError):
            self.pool.release(Moody())
        if self.free and not any(thing is self.free[-1] for thing, _ in self.out):
            with pytest.raises(AlreadyReleasedError):
                self.pool.release(self.free[-1])
        for handle in self.stale:
            with pytest.raises(AlreadyReleasedError):
                handle.release()
        self.stale.clear()

    @precondition(lambda self: self.reset and self.free and self.one is None and not self.closed)
    @rule(through_handle=st.booleans())
    def fail_to_reset(self, through_handle: bool) -> None:
        self.free[-1].fails = True
        with pytest.raises(ZeroDivisionError):
            (self.pool.allocate if through_handle else self.pool.get)()
        self.free.pop()

    @precondition(lambda self: not self.closed and not self.free and self.cls is not GrowingPool)
    @rule()
    def fail_to_make(self) -> None:
        if len(self.out) < self.limit:
            self.fails = True
            with pytest.raises(KeyError):
                self.pool.get()
            self.fails = False

    @rule()
    def collect(self) -> None:
        gc.collect(0)

    @precondition(lambda self: len(self.out) > 2)
    @rule()
    def close(self) -> None:
        self.pool.close()
        self.closed = True
        self.free.clear()

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "pool"):
            assert self.pool.size() == len(self.out)
            assert self.pool.available() == len(self.free)
            assert self.pool.is_closed() == self.closed

    def teardown(self) -> None:
        if hasattr(self, "pool"):
            for _, handle in self.out:
                if handle is not None:
                    handle.release()
            for thing, handle in self.out:
                if handle is None:
                    self.pool.release(thing)
            assert self.pool.size() == 0


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)
def test_random_programs(cls: type[Any]) -> None:
    machine = type(f"{cls.__name__}Machine", (Machine,), {"cls": cls})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), database=None
        ),
    )
