#!/usr/bin/env python3
"""Shows which mistakes in the pools the tests find, beside those of ci/loom_mutations.py.

Makes one mistake after another in a copy of the sources, runs the tests that are to find it, and prints a table. Fails if
a mistake is not found. Arguments choose mistakes by parts of their names; --check only sees whether all can still be made.

Needs cargo, git and Python. Takes up to an hour on two cores: each mistake has the tests compiled anew.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from loom_mutations import ROOT, SOURCES, check, copy

CHUNK = "chunk.rs"
HEAD = "raw/mod.rs"
LOCAL = "raw/local.rs"
CORE = "raw/threads/mod.rs"
MAGAZINE = "raw/threads/magazine.rs"
LINE = "raw/threads/line.rs"
HANDLE = "handle.rs"
POOL = "pool.rs"

LIB = "lib"
IT = "it"
THREADS = "threads"


class Mistake(NamedTuple):
    name: str
    file: str
    old: str
    new: str
    # The test program, and the part of the tests' names that is to be run.
    program: str
    tests: str


MISTAKES = [
    # Values.
    Mistake(
        "a released value is not destroyed",
        HEAD,
        "    unsafe { value.as_mut() }.release_hook(Internal(()));\n    drop(destroy);\n",
        "    unsafe { value.as_mut() }.release_hook(Internal(()));\n    mem::forget(destroy);\n",
        IT,
        "drops::",
    ),
    Mistake(
        "a value is released twice: when it is moved out, and by the handle",
        HANDLE,
        "    #[inline]\n    fn into_raw(self) -> NonNull<T> {\n        ManuallyDrop::new(self).value\n    }\n\n"
        "    /// Shares the value",
        "    #[inline]\n    fn into_raw(self) -> NonNull<T> {\n        self.value\n    }\n\n    /// Shares the value",
        IT,
        "conformance::",
    ),
    Mistake(
        "a value whose hook panics is not destroyed",
        LOCAL,
        "        let destroy = Defer(move || unsafe { slot.drop_in_place() });\n"
        "        // SAFETY: the caller says that the object is there, and it is nobody else's.\n"
        "        unsafe { slot.as_mut() }.on_acquire();\n",
        "        let destroy = Defer(|| ());\n"
        "        // SAFETY: the caller says that the object is there, and it is nobody else's.\n"
        "        unsafe { slot.as_mut() }.on_acquire();\n",
        IT,
        "conformance::",
    ),
    Mistake(
        "a slot whose value cannot be made is lost",
        LOCAL,
        "    fn drop(&mut self) {\n        self.core.vacate(self.slot);\n",
        "    fn drop(&mut self) {\n",
        IT,
        "drops::",
    ),
    Mistake(
        "the hook is not called on release",
        HEAD,
        "    // SAFETY: the value is initialized, and nobody else uses it.\n"
        "    unsafe { value.as_mut() }.release_hook(Internal(()));\n",
        "",
        IT,
        "conformance::",
    ),
    Mistake(
        "values whose handles were forgotten are not destroyed with the pool",
        LOCAL,
        "        if !needs_drop::<T>() || (self",
        "        if true || !needs_drop::<T>() || (self",
        IT,
        "drops::",
    ),
    Mistake(
        "what was built somewhere else than in its slot is accepted",
        POOL,
        '        assert!(address == written, "the function returned a reference to something else than its slot");\n',
        "        let _ = (address, written);\n",
        IT,
        "conformance::",
    ),
    Mistake(
        "a handle is converted to a part of its value",
        HEAD,
        "        converted.addr() == address && same_layout,\n",
        "        converted.addr() == address || same_layout || true,\n",
        IT,
        "dyn_handles::",
    ),
    # Slots.
    Mistake(
        "the number of a chunk is rounded down at some borders",
        CHUNK,
        "        Self { per_chunk, factor: (1_u64 << shift).div_ceil(per_chunk as u64), shift }\n",
        "        Self { per_chunk, factor: (1_u64 << shift) / per_chunk as u64, shift }\n",
        IT,
        "alignment::",
    ),
    Mistake(
        "chunks are twice as far apart as they must be",
        CHUNK,
        "    let slots = chunk_align.saturating_sub(first) / stride;\n",
        "    let slots = chunk_align.saturating_sub(first) / stride + 1;\n",
        IT,
        "memory::",
    ),
    Mistake(
        "the configured alignment is ignored",
        CHUNK,
        "        let stride = slot_size(size_of::<T>(), if PASSTHROUGH { align_of::<T>() } else { align });\n",
        "        let stride = slot_size(size_of::<T>(), align_of::<T>());\n",
        IT,
        "alignment::",
    ),
    Mistake(
        "a header is looked for in front of an aligned slot",
        CHUNK,
        "    (address - 1) & !(alignment - 1)\n",
        "    address & !(alignment - 1)\n",
        IT,
        "alignment::",
    ),
    Mistake(
        "the hot slot is lost when a value is pinned",
        LOCAL,
        "    if let Some(hot) = core.take_hot() {\n        core.free(hot);\n    }\n    core.front.head.hot.set(NOT_PLAIN);\n",
        "    core.front.head.hot.set(NOT_PLAIN);\n",
        IT,
        "pin",
    ),
    Mistake(
        "a pinned object is handed out again",
        LOCAL,
        "    if was_pinned {\n        return;\n    }\n    // SAFETY: the slot holds an object that nobody else uses.\n"
        "    let object = unsafe { slot.as_mut() };\n",
        "    let _ = was_pinned;\n    // SAFETY: the slot holds an object that nobody else uses.\n"
        "    let object = unsafe { slot.as_mut() };\n",
        IT,
        "pin",
    ),
    Mistake(
        "the stack forgets a slot that is freed",
        "allocator/stack.rs",
        "            self.vacant.push(index as u32);\n",
        "            if self.vacant.len() % 64 != 63 {\n                self.vacant.push(index as u32);\n            }\n",
        IT,
        "conformance::",
    ),
    Mistake(
        "the bitmap does not hand out the lowest slot",
        "allocator/bitmap.rs",
        "        let bit = word.trailing_zeros() as usize;\n        *word &= *word - 1;\n",
        "        let bit = 63 - word.leading_zeros() as usize;\n        *word &= !(1 << bit);\n",
        LIB,
        "lowest_vacant",
    ),
    Mistake(
        "the free list is a stack",
        "allocator/free_list.rs",
        "        self.links[index] = END;\n        if self.head == END {\n            self.head = index as u32;\n        } else {\n"
        "            self.links[self.tail as usize] = index as u32;\n        }\n        self.tail = index as u32;\n",
        "        self.links[index] = self.head;\n        self.head = index as u32;\n",
        IT,
        "free_list",
    ),
    # Growth and trim.
    Mistake(
        "a growth step is not cut at the limit",
        LOCAL,
        "            Some(max) => self.extend_and_fill(step.min(max - current)),\n",
        "            Some(_) => self.extend_and_fill(step),\n",
        IT,
        "growth::",
    ),
    Mistake(
        "trim gives memory back that weak handles look at",
        LOCAL,
        "                && !chunks.has_weak_handles(number)\n",
        "",
        IT,
        "memory::",
    ),
    Mistake(
        "trim leaves less than it was told to",
        LOCAL,
        "                && left - region.open >= floor\n",
        "                && left >= floor\n",
        IT,
        "growth::",
    ),
    Mistake(
        "growth that fails keeps the memory that it found",
        LOCAL,
        "            chunks.release_unused();\n            return prepared;\n",
        "            return prepared;\n",
        THREADS,
        "memory::",
    ),
    # Recycled objects.
    Mistake(
        "the reset is skipped",
        LOCAL,
        "    if recycler.maker.reset.as_ref().is_none_or(|reset| reset(object)) {\n",
        "    if recycler.maker.reset.as_ref().is_none_or(|_| true) {\n",
        IT,
        "conformance::",
    ),
    Mistake(
        "an object that the reset refused is kept",
        LOCAL,
        "    if recycler.maker.reset.as_ref().is_none_or(|reset| reset(object)) {\n",
        "    if recycler.maker.reset.as_ref().is_none_or(|reset| reset(object) || true) {\n",
        IT,
        "conformance::",
    ),
    Mistake(
        "a value that replaces a kept object does not destroy it",
        LOCAL,
        "        let mut vacancy = self.any_slot(place)?;\n        vacancy.clear();\n",
        "        let vacancy = self.any_slot(place)?;\n        self.take_kept(vacancy.slot);\n",
        IT,
        "drops::",
    ),
    Mistake(
        "memory is not overwritten",
        LOCAL,
        "        if !holds_object {\n            // SAFETY: no handle owns the slot, and nobody else knows of it yet.\n"
        "            unsafe { self.scrub.wipe(slot) };\n        }\n",
        "",
        IT,
        "zeroize::",
    ),
    # Counted handles.
    Mistake(
        "a weak handle reaches a later tenant of the slot",
        HANDLE,
        "        self.generation.set(self.generation.get() + 1);\n",
        "",
        IT,
        "model::",
    ),
    Mistake(
        "a shared object is released by the first handle that is dropped",
        HANDLE,
        "            1 => self.release(share),\n",
        "            1.. => self.release(share),\n",
        IT,
        "conformance::",
    ),
    Mistake(
        "an object that somebody else shares is lent mutably",
        HANDLE,
        "        if self.strong_count() > 1 || self.weak_count() > 0 {\n            return None;\n        }\n"
        "        // SAFETY:\n        // - Valid: the value is this handle's.\n",
        "        if self.strong_count() > 1 {\n            return None;\n        }\n"
        "        // SAFETY:\n        // - Valid: the value is this handle's.\n",
        IT,
        "conformance::",
    ),
    Mistake(
        "a pool in an Rc goes before its last handle",
        HEAD,
        "    if core.rc_handles.get() > 0 {\n        return;\n    }\n",
        "    if core.rc_handles.get() > 1 {\n        return;\n    }\n",
        IT,
        "conformance::",
    ),
    # What is seen from outside.
    Mistake(
        "a failure is not counted",
        LOCAL,
        "            self.counters().failed();\n",
        "",
        IT,
        "statistics::",
    ),
    Mistake(
        "an object that was given back is still told as a leak",
        LOCAL,
        "            self.untrack(slot);\n            return self.put(slot, true);\n",
        "            return self.put(slot, true);\n",
        IT,
        "leaks::",
    ),
    # Pools that threads share.
    Mistake(
        "a waiter is not woken when a slot is released",
        LINE,
        "                    wakers.extend(first.remove().tell(State::Served(taken)));\n",
        "                    drop(first.remove().tell(State::Served(taken)));\n",
        THREADS,
        "waiting::",
    ),
    Mistake(
        "a slot that was handed to a future which is dropped is lost",
        LINE,
        "            State::Served(taken) => Some(taken),\n            _ => None,\n",
        "            State::Served(_) => None,\n            _ => None,\n",
        THREADS,
        "waiting::",
    ),
    Mistake(
        "a pool that is closed leaves those who wait in the line",
        LINE,
        "        entries.into_values().filter_map(|waiter| waiter.tell(State::Closed)).collect()\n",
        "        entries.into_values().filter_map(|_| None).collect()\n",
        THREADS,
        "waiting::",
    ),
    Mistake(
        "slots that other threads keep are not looked for",
        CORE,
        "    fn make_room(&self, needed: usize, patience: &mut Patience<'_>) -> Result<()> {\n        if !self.steal(needed, patience) {\n",
        "    fn make_room(&self, needed: usize, patience: &mut Patience<'_>) -> Result<()> {\n"
        "        if true || !self.steal(needed, patience) {\n",
        THREADS,
        "exactness::",
    ),
    Mistake(
        "a magazine holds more than its limit",
        MAGAZINE,
        "        if len >= self.limit.load(Relaxed) {\n            return false;\n        }\n",
        "",
        LIB,
        "thread_keeps",
    ),
    Mistake(
        "a core is freed before its last handle is gone",
        CORE,
        "        change.set(unsafe { (core.operations.orphan)(head) as i64 - UNKNOWN });\n",
        "        change.set(unsafe { (core.operations.orphan)(head) as i64 - UNKNOWN } - 1);\n",
        THREADS,
        "lifetimes::",
    ),
    Mistake(
        "an object of a shared pool that was given back is still told as a leak",
        CORE,
        "            tracker.untrack(unsafe { index(slot.cast::<MaybeUninit<T>>()) });\n",
        "            let _ = tracker;\n",
        THREADS,
        "leaks::",
    ),
]


def why_not_found(tree: Path, mistake: Mistake, env: dict[str, str]) -> str:
    """Empty if the tests fail, or hang."""
    command = ["cargo", "test", "--locked", "--quiet", "--package", "fastalloc", "--all-features"]
    command += ["--lib"] if mistake.program == LIB else ["--test", mistake.program]
    built = subprocess.run([*command, "--no-run"], cwd=tree, env=env, capture_output=True, text=True)
    if built.returncode != 0:
        return f"does not compile for\n{built.stderr}\n"
    run = [*command, "--", mistake.tests]
    with subprocess.Popen(
        run, cwd=tree, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as tests:
        try:
            output, _ = tests.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            # Cargo, and the tests that it started.
            os.killpg(tests.pid, signal.SIGKILL)
            return ""
    if tests.returncode != 0:
        return ""
    return "nothing is called so in " if " 0 passed" in output else "NOT FOUND by "


def main() -> None:
    check(MISTAKES)
    if sys.argv[1:] == ["--check"]:
        return
    wanted = [mistake for mistake in MISTAKES if all(part in mistake.name for part in sys.argv[1:])]
    env = dict(os.environ, RUST_BACKTRACE="0", CARGO_PROFILE_DEV_DEBUG="0")
    env.setdefault("CARGO_TARGET_DIR", str(ROOT / "target" / "deliberate_bugs"))
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy(tree)
        for mistake in wanted:
            source = tree / SOURCES / mistake.file
            text = source.read_text()
            source.write_text(text.replace(mistake.old, mistake.new))
            reason = why_not_found(tree, mistake, env)
            source.write_text(text)
            missed += bool(reason)
            print(f"| {mistake.name} | {reason}{mistake.program} {mistake.tests} |", flush=True)
    if missed or not wanted:
        sys.exit(f"{missed} mistakes of {len(wanted)} were not found")
    print(f"all {len(wanted)} mistakes were found")


if __name__ == "__main__":
    main()
