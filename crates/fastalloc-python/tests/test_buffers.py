"""Buffers: whose memory it is, and when it may be used again."""

from __future__ import annotations

import copy
import ctypes
import gc
import inspect
import io
import pickle
import re
import socket
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from fastalloc import (
    AlreadyReleasedError,
    BufferPool,
    BufferReleasedError,
    InvalidCapacityError,
    PoolClosedError,
    PoolConfigurationError,
    PoolEmptyError,
    StatsReporter,
    TypeMismatchError,
)

from .test_faults import run
from .test_stress import assert_no_leak


def address(view: Any) -> int:
    """Where the memory is."""
    return int(np.asarray(view).ctypes.data)


def test_a_buffer_is_memory_to_write_to() -> None:
    pool = BufferPool()
    with pool.get(10) as buffer:
        assert len(buffer) == 10
        assert bytes(buffer) == bytes(10), "new memory is zero"
        buffer[:5] = b"hello"
        buffer[-1] = 33
        assert bytes(buffer) == b"hello\0\0\0\0!"
        assert buffer[0] == ord("h")
        assert bytes(buffer[:5]) == b"hello"
        view = memoryview(buffer)
        assert (view.readonly, view.format, view.ndim, view.contiguous, view.nbytes) == (False, "B", 1, True, 10)
        assert io.BytesIO(b"some more").readinto(buffer) == 9
        assert bytes(buffer) == b"some more!"
        view.release()
    assert buffer.is_released()
    assert (pool.size(), pool.available()) == (0, 1)


def test_sockets_and_files_write_to_buffers(tmp_path: Any) -> None:
    pool = BufferPool()
    here, there = socket.socketpair()
    with here, there, pool.get(64) as buffer:
        here.sendall(b"ping")
        received = there.recv_into(buffer)
        assert bytes(buffer[:received]) == b"ping"
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    with path.open("rb", buffering=0) as file, pool.get(200) as buffer:
        assert file.readinto(buffer) == 100


def test_mistakes_with_items_are_those_of_memoryview() -> None:
    buffer = BufferPool().get(4)
    with pytest.raises(IndexError):
        buffer[4]
    with pytest.raises(ValueError, match="different structures"):
        buffer[:2] = b"three"
    with pytest.raises(TypeError, match="size of a buffer"):
        del buffer[0]
    with pytest.raises(ValueError, match="invalid value"):
        buffer[0] = 256
    with pytest.raises(TypeError):
        buffer["key"]  # type: ignore[call-overload]
    assert buffer.exports() == 0


def test_memory_is_used_again() -> None:
    pool = BufferPool(enable_statistics=True)
    buffer = pool.get(100_000)
    before = address(buffer)
    buffer.release()
    again = pool.get(99_999)
    assert address(again) == before
    pool.release(again)
    assert pool.stats().current_capacity == 1


@pytest.mark.parametrize("view", [memoryview, np.asarray, lambda b: np.frombuffer(b, np.uint8), lambda b: b[:]])
def test_memory_that_is_viewed_is_not_used_again(view: Any) -> None:
    pool = BufferPool(enable_statistics=True)
    buffer = pool.get(64)
    seen = view(buffer)
    assert buffer.exports() == 1
    before = address(seen)
    buffer.release()
    assert (pool.size(), pool.available(), pool.stats().deferred) == (1, 0, 1)
    other = pool.get(64)
    other[:] = b"x" * 64
    assert address(other) != before
    assert bytes(seen) == bytes(64)
    del seen
    assert (pool.size(), pool.available()) == (1, 1)
    assert address(pool.get(64)) == before


@pytest.mark.parametrize("wrap", [lambda b: b, memoryview, lambda b: b[:]], ids=["buffer", "memoryview", "slice"])
def test_numpy_arrays_that_hide_their_view_keep_memory(wrap: Any) -> None:
    """`numpy.ndarray` gives its view back, and uses the memory nevertheless: https://github.com/numpy/numpy/issues/15450."""
    pool = BufferPool()
    buffer = pool.get(64)
    array = np.ndarray((8,), np.float64, buffer=wrap(buffer))
    assert np.shares_memory(array, np.asarray(buffer))
    array[:] = 1.5
    buffer.release()
    del buffer
    assert pool.size() == 1
    other = pool.get(64)
    other[:] = b"x" * 64
    del other
    assert array.tolist() == [1.5] * 8
    part = array[2:4]
    del array
    assert pool.size() == 1
    assert part.tolist() == [1.5, 1.5]
    del part
    assert (pool.size(), pool.available()) == (0, 2)


def test_a_buffer_does_not_inherit_who_hid_a_view_of_another() -> None:
    pool: Any = BufferPool()
    for _ in range(3):
        np.ndarray((8,), np.float64, buffer=pool.get(64))
    buffers = [pool.get(64) for _ in range(3)]
    for buffer in buffers:
        buffer.release()
    assert (pool.size(), pool.available()) == (0, 3)


def test_memory_belongs_to_who_refers_to_the_object_of_a_view() -> None:
    """As `torch.frombuffer` does, which does not keep the view either."""
    pool = BufferPool()
    buffer = pool.get(64)
    with memoryview(buffer) as view:
        kept = view.obj
    buffer.release()
    del buffer
    assert pool.size() == 1
    assert bytes(memoryview(kept)) == bytes(64)
    del kept
    assert pool.size() == 0


def test_ctypes_objects_are_views() -> None:
    pool = BufferPool()
    numbers = (ctypes.c_uint32 * 4).from_buffer(pool.get(16))
    numbers[1] = 5
    assert pool.size() == 1
    del numbers
    assert bytes(pool.get(16)) == bytes(4) + b"\5" + bytes(11)


def test_numpy_arrays_need_no_copy_and_no_release() -> None:
    # NumPy's types know all buffers since Python 3.12 only.
    pool: Any = BufferPool()
    array = np.frombuffer(pool.get(800), np.float64).reshape(10, 10)
    array += 1
    assert array.flags.writeable
    assert array.flags.aligned
    assert pool.size() == 1
    del array
    assert (pool.size(), pool.available()) == (0, 1)
    assert np.frombuffer(pool.get(800), np.float64).sum() == 100, "what was written the last time"


@pytest.mark.parametrize("alignment", [1, 2, 16, 64, 256, 4096, 1 << 16])
def test_addresses_are_aligned_for_all_sizes(alignment: int) -> None:
    pool = BufferPool(alignment=alignment)
    sizes = [*range(0, 300, 7), 511, 512, 513, 4095, 4096, 4097, 65_535, 1 << 20, (1 << 20) + 1]
    for _ in range(2):
        held = [pool.get(size) for size in sizes]
        assert [len(buffer) for buffer in held] == sizes
        assert all(address(buffer) % alignment == 0 for buffer in held if len(buffer))
        ends = sorted((address(buffer), len(buffer)) for buffer in held if len(buffer))
        assert all(start + size <= after for (start, size), (after, _) in zip(ends, ends[1:], strict=False))
        for buffer in held:
            buffer.release()


@pytest.mark.skipif(not Path("/sys/kernel/mm/transparent_hugepage").exists(), reason="this system has no huge pages")
def test_large_buffers_ask_for_huge_pages() -> None:
    pool = BufferPool()
    flags = {}
    for size in (1 << 20, 1 << 26):
        buffer = pool.get(size)
        middle = address(buffer) + size // 2
        for area in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path("/proc/self/smaps").read_text()):
            start, end = (int(bound, 16) for bound in area.split(" ")[0].split("-"))
            if start <= middle < end:
                flags[size] = re.findall(r"VmFlags: (.*)", area)[0].split()
    assert "hg" not in flags[1 << 20]
    assert "hg" in flags[1 << 26]


@pytest.mark.parametrize("size", [1, 63, 64, 1000, 1 << 17, 1 << 22])
def test_zeroing_zeroes(size: int) -> None:
    pool = BufferPool(zero=True, enable_statistics=True)
    for length in (size, size, size - 1, size):
        buffer = pool.get(length)
        assert not np.asarray(buffer).any()
        np.asarray(buffer)[:] = 255
        view = memoryview(buffer)
        buffer.release()
        assert bytes(view[:1]) in (b"\xff", b""), "as long as it is viewed"
        view.release()
    assert pool.stats().total_resets == 4 - (size == 1)


def test_the_budget_is_kept() -> None:
    pool = BufferPool(4 * 65_536)
    assert pool.max_bytes() == 4 * 65_536
    held = [pool.get(65_536) for _ in range(4)]
    with pytest.raises(PoolEmptyError, match=r"1 bytes needs a block of 64, .*have 262144 of max_bytes=262144: release "):
        pool.get(1)
    held.pop().release()
    pool.get(30_000).release()
    assert pool.bytes_in_use() + pool.bytes_idle() <= 262_144, "idle memory makes room for other sizes"
    with pytest.raises(ValueError, match=r"262145 bytes needs a block of 327680, and max_bytes is 262144: make that larger"):
        pool.get(262_145)
    for buffer in held:
        buffer.release()
    assert len(pool.get(262_144)) == 262_144
    assert (pool.size(), BufferPool().max_bytes()) == (0, None)


def test_views_of_released_buffers_count() -> None:
    pool = BufferPool(64)
    buffer = pool.get(1)
    view = memoryview(buffer)
    buffer.release()
    with pytest.raises(PoolEmptyError):
        pool.get(1)
    view.release()
    assert len(pool.get(1)) == 1


def test_idle_memory_can_be_limited() -> None:
    pool = BufferPool(max_idle_bytes=2048)
    held = [pool.get(1024) for _ in range(5)]
    del held
    assert (pool.available(), pool.bytes_idle()) == (2, 2048)
    assert pool.trim() == 2048
    assert (pool.available(), pool.bytes_idle(), pool.trim()) == (0, 0, 0)
    keeps_nothing = BufferPool(max_idle_bytes=0)
    keeps_nothing.get(1)
    assert keeps_nothing.available() == 0


def test_sizes_that_are_none_are_refused() -> None:
    pool = BufferPool()
    with pytest.raises(ValueError, match="nbytes must not be negative, got -1"):
        pool.get(-1)
    with pytest.raises(OverflowError):
        pool.get(1 << 64)
    with pytest.raises(TypeError):
        pool.get(1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        pool.get("1")  # type: ignore[arg-type]
    for size in (sys.maxsize, 1 << 61):
        with pytest.raises(MemoryError, match=f"no memory for a buffer of {size} bytes"):
            pool.get(size)
    empty = pool.get(0)
    assert (len(empty), bytes(empty), np.asarray(empty).shape) == (0, b"", (0,))
    assert len(pool.get(np.int64(5))) == 5
    assert pool.size() == 1


def test_a_length_may_use_its_pool() -> None:
    pool = BufferPool(128)

    class Length:
        def __index__(self) -> int:
            pool.get(64).release()
            pool.close()
            return 64

    with pytest.raises(PoolClosedError):
        pool.get(Length())
    assert (pool.size(), pool.available()) == (0, 0)


def test_settings_that_are_wrong_are_refused() -> None:
    for alignment in (0, -64, 3, 1 << 63):
        with pytest.raises(PoolConfigurationError, match=f"alignment must be a power of two.*{alignment}"):
            BufferPool(alignment=alignment)
    for least, name in enumerate(("max_idle_bytes", "max_bytes")):
        with pytest.raises(InvalidCapacityError, match=f"{name} must be None or at least {least}, got -5"):
            BufferPool(**{name: -5})
        with pytest.raises(TypeError):
            BufferPool(**{name: 1.5})  # type: ignore[arg-type]
    with pytest.raises(InvalidCapacityError):
        BufferPool(0)
    with pytest.raises(TypeError):
        BufferPool(size=3)  # type: ignore[call-arg]
    assert BufferPool(1 << 100).max_bytes() == sys.maxsize
    with pytest.raises(MemoryError):
        BufferPool(alignment=1 << 62).get(1)
    assert list(inspect.signature(BufferPool).parameters)[:2] == ["max_bytes", "max_idle_bytes"]


def test_only_pools_make_buffers() -> None:
    buffer = BufferPool().get(1)
    for cls in (type(buffer), type(memoryview(buffer).obj)):
        for make in (cls, lambda cls=cls: object.__new__(cls), lambda cls=cls: type("Sub", (cls,), {})):
            with pytest.raises(TypeError):
                make()
    with pytest.raises(TypeError):
        object.__new__(BufferPool)
    with pytest.raises(TypeError):
        type("Sub", (BufferPool,), {})


def test_what_was_released_is_not_used() -> None:
    pool = BufferPool()
    buffer = pool.get(8)
    pool.release(buffer)
    uses: list[Any] = [
        buffer.release,
        lambda: pool.release(buffer),
        lambda: len(buffer),
        buffer.exports,
        lambda: buffer[0],
        lambda: buffer.__setitem__(0, 1),
        lambda: memoryview(buffer),
        buffer.__enter__,
    ]
    for use in uses:
        with pytest.raises(BufferReleasedError, match="buffer has been released") as caught:
            use()
        assert isinstance(caught.value, (AlreadyReleasedError, BufferError))
    with pytest.raises(TypeError):
        io.BytesIO(b"x").readinto(buffer)
    assert buffer.is_released()
    assert repr(buffer) == "PooledBuffer(released=True)"
    assert (pool.size(), pool.available()) == (0, 1)


def test_only_buffers_of_the_pool_are_released() -> None:
    pool = BufferPool()
    buffer = pool.get(8)
    with pytest.raises(AlreadyReleasedError, match="another pool"):
        BufferPool().release(buffer)
    with pytest.raises(TypeMismatchError, match="expected PooledBuffer, got bytearray"):
        pool.release(bytearray(8))  # type: ignore[arg-type]
    assert not buffer.is_released()
    assert pool.size() == 1


def test_a_with_block_releases_whatever_happens() -> None:
    pool = BufferPool()
    with pytest.raises(KeyError), pool.get(8):
        raise KeyError
    with pool.get(8) as buffer:
        buffer.release()
    with pytest.raises(BufferReleasedError):
        buffer.__enter__()
    assert pool.size() == 0


def test_a_buffer_that_is_dropped_comes_back() -> None:
    pool = BufferPool()
    for _ in range(10):
        pool.get(8)
    assert (pool.size(), pool.available()) == (0, 1)
    cycle: list[Any] = [pool.get(8)]
    cycle.append(cycle)
    array = np.asarray(pool.get(8))
    cycle.append(array)
    del array, cycle
    gc.collect()
    assert (pool.size(), pool.available()) == (0, 2)


def test_buffers_outlive_their_pool() -> None:
    pool = BufferPool()
    gone = weakref.ref(pool)
    buffer, released = pool.get(8), pool.get(8)
    view = memoryview(released)
    released.release()
    del pool
    assert gone() is None
    buffer[:] = view[:] = b"12345678"
    assert bytes(buffer) == bytes(view) == b"12345678"
    buffer.release()
    view.release()


def test_a_closed_pool_keeps_nothing() -> None:
    pool = BufferPool()
    buffer = pool.get(8)
    pool.get(8).release()
    assert pool.available() == 1
    pool.close()
    pool.close()
    assert pool.is_closed()
    assert (pool.size(), pool.available()) == (1, 0)
    with pytest.raises(PoolClosedError):
        pool.get(8)
    buffer[0] = 1
    buffer.release()
    assert (pool.size(), pool.bytes_in_use(), pool.bytes_idle()) == (0, 0, 0)


def test_weak_references_see_buffers_die() -> None:
    pool = BufferPool()
    buffer = pool.get(8)
    seen: list[int] = []
    reference = weakref.ref(buffer, lambda _: seen.append(pool.size()))
    del buffer
    assert reference() is None
    assert seen == [1]
    assert pool.size() == 0


def test_neither_pools_nor_buffers_are_copied() -> None:
    pool = BufferPool()
    for each in (pool, pool.get(1)):
        for call in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="cannot copy or pickle"):
                call(each)


def test_statistics_are_those_of_the_other_pools_and_bytes() -> None:
    pool = BufferPool(enable_statistics=True)
    for _ in range(40):
        with pool.get(1000), pool.get(2000):
            pass
    held = pool.get(100)
    counted = pool.stats().snapshot()
    assert counted["total_allocations"] == 81
    assert counted["total_releases"] == 80
    assert (counted["growth_events"], counted["peak_capacity"], counted["current_capacity"]) == (3, 3, 3)
    assert (counted["peak_in_use"], counted["current_in_use"]) == (2, 1)
    assert (counted["bytes_in_use"], counted["bytes_idle"]) == (128, 1024 + 2048)
    assert (counted["peak_bytes"], counted["deferred"], counted["total_resets"]) == (128 + 1024 + 2048, 0, 0)
    assert counted["total_allocation_time_ns"] > 0
    assert counted["total_release_time_ns"] > 0
    assert StatsReporter(pool.stats()).summary() == "allocs=81 releases=80 in_use=1/3 peak=2"
    silent = BufferPool()
    held = silent.get(100)
    counted = silent.stats().snapshot()
    assert (counted.pop("current_in_use"), counted.pop("bytes_in_use")) == (1, 128)
    assert set(counted.values()) == {0}
    assert repr(silent) == "BufferPool(in_use=1, available=0, bytes_in_use=128, bytes_idle=0, closed=False)"
    assert repr(held) == "PooledBuffer(nbytes=100, exports=0, released=False)"


def test_threads_share_memory_and_budget() -> None:
    pool = BufferPool(8 * 4096, zero=True)
    faults: list[Any] = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)

    def work(number: int) -> None:
        for turn in range(400):
            try:
                buffer = pool.get((turn * number) % 4096)
            except PoolEmptyError:
                continue
            array = np.asarray(buffer)
            if array.any():
                faults.append("not zero")
            array[:] = number
            buffer.release()
            if (array != number).any():
                faults.append("somebody else wrote there")
            if pool.bytes_in_use() + pool.bytes_idle() > 8 * 4096:
                faults.append("beyond the budget")
            del array

    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not faults
    assert pool.size() == 0


def test_only_one_of_two_threads_releases() -> None:
    pool = BufferPool()
    for _ in range(50):
        buffer = pool.get(64)
        barrier = threading.Barrier(2)
        refused: list[BaseException] = []

        def work(
            buffer: Any = buffer, barrier: threading.Barrier = barrier, refused: list[BaseException] = refused
        ) -> None:
            barrier.wait()
            try:
                buffer.release()
            except BufferReleasedError as error:
                refused.append(error)

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(refused) == 1
        assert pool.size() == 0


def test_a_buffer_may_be_released_while_a_call_writes_to_it() -> None:
    pool = BufferPool()
    here, there = socket.socketpair()
    with here, there:
        buffer = pool.get(64)
        thread = threading.Thread(target=there.recv_into, args=(buffer,))
        thread.start()
        while not buffer.exports():
            pass
        before = address(buffer)
        buffer.release()
        assert address(pool.get(64)) != before
        here.sendall(b"late")
        thread.join()
    del buffer, thread
    assert pool.size() == 0


def test_a_forked_child_has_its_own_memory() -> None:
    run(
        """
        import os
        from fastalloc import BufferPool
        pool = BufferPool(128)
        buffer, idle = pool.get(64), pool.get(64)
        buffer[:6] = b"parent"
        idle.release()
        child = os.fork()
        if child == 0:
            assert bytes(buffer[:6]) == b"parent"
            buffer[:6] = b"child!"
            buffer.release()
            pool.get(100)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert bytes(buffer[:6]) == b"parent"
        assert (pool.size(), pool.available()) == (1, 1)
        """
    )


def test_buffers_may_be_left_to_the_end_of_the_interpreter() -> None:
    run(
        """
        import builtins
        from fastalloc import BufferPool
        pool = BufferPool(zero=True)
        builtins.kept = [pool.get(10), memoryview(pool.get(20)), pool]
        builtins.kept.append(builtins.kept)
        """
    )


def test_memory_goes_back_to_the_system() -> None:
    run(
        """
        import resource
        from fastalloc import BufferPool
        size = 64 << 20
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        for _ in range(40):
            pool = BufferPool()
            pool.get(size)
            BufferPool(max_idle_bytes=0).get(size)
            other = BufferPool()
            other.get(size)
            other.close()
        # A pool that has gone leaves nothing behind but what is in use.
        pool = BufferPool()
        small, large, idle = pool.get(1), pool.get(6 * size), pool.get(6 * size)
        idle.release()
        del pool
        large.release()
        BufferPool().get(12 * size)
        # What is idle makes room when the system has no more.
        pool = BufferPool()
        held = []
        try:
            while True:
                held.append(pool.get(size))
        except MemoryError:
            pass
        assert len(held) > 3
        del held
        large = pool.get(3 * size)
        assert large[-1] == 0
        """
    )


def test_buffers_leak_nothing() -> None:
    pool: Any = BufferPool(1 << 20, zero=True, enable_statistics=True)

    def operation() -> None:
        with pool.get(1000) as buffer:
            view = memoryview(buffer)
            buffer[1:3] = buffer[3:5]
        assert bytes(view)
        np.ndarray((3,), np.uint8, pool.get(3))
        for call in (buffer.release, lambda: pool.get(1 << 30), lambda: pool.get(-1)):
            try:
                call()
            except (BufferReleasedError, ValueError):
                pass
        try:
            pool.release(operation)
        except TypeMismatchError:
            pass
        repr(pool), repr(buffer), pool.stats()
        other = BufferPool()
        other.get(1)
        other.trim()
        other.close()

    assert_no_leak(operation, 1_000)


class Machine(RuleBasedStateMachine):
    """`out`: buffers that were not released, with what is in them; `views`: what keeps memory, with the same."""

    def __init__(self) -> None:
        super().__init__()
        self.out: list[tuple[Any, bytes]] = []
        self.views: list[tuple[Any, bytes]] = []
        self.number = 0

    @initialize(
        max_bytes=st.sampled_from([None, 64, 2048]),
        max_idle_bytes=st.sampled_from([None, 0, 512]),
        alignment=st.sampled_from([1, 64, 1024]),
        zero=st.booleans(),
    )
    def make(self, max_bytes: Any, max_idle_bytes: Any, alignment: int, zero: bool) -> None:
        self.pool = BufferPool(max_bytes, max_idle_bytes=max_idle_bytes, alignment=alignment, zero=zero)
        self.max_bytes, self.max_idle_bytes = max_bytes or sys.maxsize, max_idle_bytes
        self.alignment, self.zero = alignment, zero
        self.closed = False

    @rule(size=st.integers(0, 1100))
    def get(self, size: int) -> None:
        block = max(64, self.alignment, size)
        try:
            buffer = self.pool.get(size)
        except PoolClosedError:
            assert self.closed
            return
        except PoolEmptyError:
            assert self.pool.bytes_in_use() + block * 5 // 4 + 64 > self.max_bytes
            return
        except ValueError:
            assert block * 5 // 4 + 64 > self.max_bytes
            return
        assert not self.closed
        assert len(buffer) == size
        assert not self.zero or bytes(buffer) == bytes(size)
        assert size == 0 or address(buffer) % self.alignment == 0
        self.number = self.number % 255 + 1
        content = bytes([self.number]) * size
        buffer[:] = content
        self.out.append((buffer, content))

    @precondition(lambda self: self.out)
    @rule(data=st.data(), kind=st.integers(0, 4))
    def view(self, data: Any, kind: int) -> None:
        # An index, because hypothesis would keep what it draws.
        buffer, content = self.out[data.draw(st.integers(0, len(self.out) - 1))]
        makers: list[Any] = [
            memoryview,
            lambda each: each[: len(each)],
            np.asarray,
            lambda each: np.ndarray((len(each),), np.uint8, each),
            lambda each: np.ndarray((len(each),), np.uint8, memoryview(each)),
        ]
        self.views.append((makers[kind](buffer), content))

    @precondition(lambda self: self.out)
    @rule(data=st.data(), how=st.integers(0, 3))
    def release(self, data: Any, how: int) -> None:
        buffer, _ = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        if how == 0:
            buffer.release()
        elif how == 1:
            self.pool.release(buffer)
        elif how == 2:
            with buffer:
                pass
        else:
            return
        try:
            buffer.release()
        except BufferReleasedError:
            # `pytest.raises` would keep the buffer until the next garbage collection.
            return
        raise AssertionError

    @precondition(lambda self: self.views)
    @rule(data=st.data())
    def drop_view(self, data: Any) -> None:
        self.views.pop(data.draw(st.integers(0, len(self.views) - 1)))

    @rule()
    def trim(self) -> None:
        idle = self.pool.bytes_idle()
        assert self.pool.trim() == idle
        assert self.pool.available() == 0

    @precondition(lambda self: len(self.out) > 3)
    @rule()
    def close(self) -> None:
        self.pool.close()
        self.closed = True

    @invariant()
    def nobody_else_writes(self) -> None:
        for each, content in [*self.out, *self.views]:
            assert bytes(each) == content

    @invariant()
    def counts_agree(self) -> None:
        if not hasattr(self, "pool"):
            return
        pool = self.pool
        assert len(self.out) <= pool.size() <= len(self.out) + len(self.views)
        assert pool.bytes_in_use() + pool.bytes_idle() <= self.max_bytes
        if self.closed:
            assert pool.bytes_idle() == 0
        if self.max_idle_bytes is not None:
            assert pool.bytes_idle() <= self.max_idle_bytes

    def teardown(self) -> None:
        if hasattr(self, "pool"):
            self.out.clear()
            self.views.clear()
            assert (self.pool.size(), self.pool.bytes_in_use()) == (0, 0)


def test_random_programs_of_buffers() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), database=None
        ),
    )
