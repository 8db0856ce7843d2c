#!/usr/bin/env python3
"""Shows which mistakes the models of ci/loom.sh find.

Makes one mistake after another in a copy of the sources, runs the model that is to find it, and prints a table: weaker
memory orderings, missing fences, missing steps. Fails if a mistake is not found. Arguments choose mistakes by parts of
their names; --check only sees whether all can still be made.

Needs cargo, git and Python. Takes about ten minutes.

What follows is not found, and not in the table, although it stays in the sources:

- What other orderings or fences see to as well. `SeqCst` of `begun` and `ended` where `AcqRel` would do in loom; the
  acquiring half of `Head::direct`, `Head::retain` and `let_go`, whose next step fences; `Release` of generations and
  of the lock on weak counts, which `strong` publishes; orderings of `Line::pending`, with a fence on each side;
  those of the sets' words and lengths, each of which publishes the other; the claim of a magazine.
- Fences on both sides of the line's lock, and of `membarrier`: a lock of loom is sequentially consistent, and one
  fence is a whole `heavy_fence`. The fence in `Head::out_of_use`: loom finds none of the executions in which only the
  one in `flush_all` is too late.
- Reads of what is written later: the `Acquire` by which the exchange claims an empty batch, the `Release` by which it
  leaves one empty. Loom does not let a load see a store that comes after it.
- Hints that nothing depends on: the summary of a set, the counts that users see.
- What only happens after a thousand tries of a lock-free pool, or in a chunk's header, whose atomics are not loom's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SOURCES = Path("crates/fastalloc/src")
CORE = "raw/threads/mod.rs"
COUNTS = "raw/threads/counts.rs"
WAITING = "raw/threads/waiting.rs"
THREAD = "raw/threads/thread.rs"
MAGAZINE = "raw/threads/magazine.rs"
EXCHANGE = "raw/threads/exchange.rs"
LINE = "raw/threads/line.rs"
SETS = "raw/threads/lock_free.rs"
HANDLE = "shared_handle.rs"


class Mistake(NamedTuple):
    name: str
    file: str
    old: str
    new: str
    model: str


MISTAKES = [
    # Counted handles.
    Mistake(
        "change_weak: counted Relaxed",
        COUNTS,
        "(word, changed, Release, Relaxed)",
        "(word, changed, Relaxed, Relaxed)",
        "lock_free::the_only_handle_is_alone",
    ),
    Mistake(
        "is_only_handle: locked Relaxed",
        COUNTS,
        "u64::from(LOCKED), Acquire, Relaxed)",
        "u64::from(LOCKED), Relaxed, Relaxed)",
        "lock_free::the_only_handle_is_alone",
    ),
    Mistake(
        "is_only_handle: strong Relaxed",
        COUNTS,
        "self.strong.load(Acquire) == 1",
        "self.strong.load(Relaxed) == 1",
        "lock_free::the_only_handle_follows_the_others",
    ),
    Mistake(
        "is_only_handle: weak ignored",
        COUNTS,
        "Acquire, Relaxed).is_err() {\n            return false;",
        "Acquire, Relaxed).is_err() && false {\n            return false;",
        "lock_free::the_only_handle_is_alone",
    ),
    Mistake(
        "pin: Relaxed",
        COUNTS,
        "self.strong.store(PINNED, Release)",
        "self.strong.store(PINNED, Relaxed)",
        "lock_free::an_upgrade_finds_no_value_pinned_meanwhile",
    ),
    Mistake(
        "try_into_shared: Relaxed",
        HANDLE,
        "counts.strong.store(1, Release)",
        "counts.strong.store(1, Relaxed)",
        "lock_free::an_upgrade_finds_no_value_shared_again",
    ),
    Mistake(
        "try_into_owned: Relaxed",
        HANDLE,
        "compare_exchange(1, 0, Acquire, Relaxed)",
        "compare_exchange(1, 0, Relaxed, Relaxed)",
        "lock_free::the_owner_is_alone",
    ),
    Mistake(
        "drop: counted Relaxed",
        HANDLE,
        "strong.fetch_sub(1, Release) == 1",
        "strong.fetch_sub(1, Relaxed) == 1",
        "lock_free::the_last_shared_handle_destroys",
    ),
    Mistake(
        "drop: last load Relaxed",
        HANDLE,
        "            counts.strong.load(Acquire);\n            self.release",
        "            counts.strong.load(Relaxed);\n            self.release",
        "lock_free::the_last_shared_handle_destroys",
    ),
    Mistake(
        "upgrade: first load Relaxed",
        HANDLE,
        "let mut count = strong.load(Acquire)",
        "let mut count = strong.load(Relaxed)",
        "lock_free::an_upgrade_finds_no_value_pinned_meanwhile",
    ),
    Mistake(
        "upgrade: counted Release",
        HANDLE,
        "count + 1, AcqRel, Acquire)",
        "count + 1, Release, Acquire)",
        "lock_free::an_upgrade_finds_no_later_shared_tenant",
    ),
    Mistake(
        "upgrade: not counted Relaxed",
        HANDLE,
        "count + 1, AcqRel, Acquire)",
        "count + 1, AcqRel, Relaxed)",
        "lock_free::an_upgrade_finds_no_value_pinned_meanwhile",
    ),
    Mistake(
        "upgrade: no second look at the generation",
        HANDLE,
        "        if self.is_alive() {\n            return Some(shared);\n",
        "        if true {\n            return Some(shared);\n",
        "lock_free::an_upgrade_finds_no_later_shared_tenant",
    ),
    # The end of pools.
    Mistake(
        "is_orphaned: Relaxed",
        CORE,
        "self.orphaned.load(SeqCst)",
        "self.orphaned.load(Relaxed)",
        "lock_free::a_pool_ends_while_a_handle_goes_to_the_depot",
    ),
    Mistake(
        "let_go: counted Acquire",
        CORE,
        "core.pools.fetch_sub(1, AcqRel)",
        "core.pools.fetch_sub(1, Acquire)",
        "lock_free::two_pools_end",
    ),
    Mistake(
        "let_go: orphaned Relaxed",
        CORE,
        "core.orphaned.swap(true, SeqCst)",
        "core.orphaned.swap(true, Relaxed)",
        "lock_free::a_pool_ends_while_a_handle_goes_to_the_depot",
    ),
    Mistake(
        "change_remaining: Acquire",
        CORE,
        "core.remaining.fetch_add(change, AcqRel)",
        "core.remaining.fetch_add(change, Acquire)",
        "lock_free::a_pool_ends_while_a_handle_goes_to_the_depot",
    ),
    Mistake(
        "change_remaining: Release",
        CORE,
        "core.remaining.fetch_add(change, AcqRel)",
        "core.remaining.fetch_add(change, Release)",
        "lock_free::a_pool_ends_while_a_handle_goes_to_the_depot",
    ),
    Mistake(
        "orphan: magazines in use",
        CORE,
        "    fn orphan(&self) -> usize {\n        mem::forget(self.head.out_of_use());",
        "    fn orphan(&self) -> usize {",
        "lock_free::a_pool_ends_while_a_handle_goes_to_a_magazine",
    ),
    Mistake(
        "orphan: no flush",
        CORE,
        "        self.flush_all(&mut patience);\n        loop {",
        "        loop {",
        "lock_free::a_pool_ends_while_a_handle_goes_to_a_magazine",
    ),
    Mistake(
        "orphan: transfers ignored",
        CORE,
        "if quiet.is_some() && self.head.exchange.len() == 0 && self.head.exchange.quiet() == quiet {",
        "if self.head.exchange.len() == 0 {",
        "lock_free::a_pool_ends_while_a_handle_goes_to_the_depot",
    ),
    Mistake(
        "transfer_out: begins too late",
        CORE,
        "        let transfer = self.head.transfer();\n"
        "        // After the transfer was announced, because who orphans the core waits for it.\n"
        "        if self.head.is_orphaned() { Err",
        "        let is_orphaned = self.head.is_orphaned();\n"
        "        let transfer = self.head.transfer();\n"
        "        if is_orphaned { Err",
        "lock_free::a_pool_ends_while_a_value_is_cloned",
    ),
    Mistake(
        "give: transfer begins too late",
        CORE,
        "        let transfer = this.head.transfer();\n        if this.head.is_orphaned() {",
        "        let is_orphaned = this.head.is_orphaned();\n"
        "        let transfer = this.head.transfer();\n"
        "        if is_orphaned {",
        "lock_free::a_pool_ends_while_a_handle_goes_to_the_depot",
    ),
    # Who may use a magazine.
    Mistake(
        "enter: no fence",
        THREAD,
        "            fence(SeqCst);\n        }\n        light_fence();",
        "            fence(SeqCst);\n        }",
        "lock_free::a_flush_hides_no_slot",
    ),
    Mistake(
        "enter_remembered: no fence",
        THREAD,
        "        light_fence();\n        if self.key",
        "        if self.key",
        "lock_free::a_slot_handed_over_to_a_magazine_is_found",
    ),
    Mistake(
        "remember: no fence",
        THREAD,
        "            self.key.store(key, Relaxed);\n            light_fence();",
        "            self.key.store(key, Relaxed);",
        "lock_free::nothing_is_kept_out_of_use",
    ),
    Mistake(
        "leave: Relaxed",
        THREAD,
        "self.busy.store(0, Release)",
        "self.busy.store(0, Relaxed)",
        "lock_free::a_flush_hides_no_slot",
    ),
    Mistake(
        "is_busy: Relaxed",
        THREAD,
        "self.busy.load(Acquire)",
        "self.busy.load(Relaxed)",
        "lock_free::a_slot_in_a_magazine_has_one_owner",
    ),
    Mistake(
        "heavy_fence: none",
        THREAD,
        "    fence(SeqCst);\n    membarrier::call();\n    fence(SeqCst);\n",
        "",
        "lock_free::a_flush_hides_no_slot",
    ),
    Mistake(
        "section: direct ignored",
        CORE,
        "core.direct.load(Acquire) == 0 {",
        "core.direct.load(Acquire) < 99 {",
        "lock_free::a_flush_hides_no_slot",
    ),
    Mistake(
        "section: direct Relaxed",
        CORE,
        "core.direct.load(Acquire) == 0 {",
        "core.direct.load(Relaxed) == 0 {",
        "lock_free::a_flush_hides_no_slot",
    ),
    Mistake(
        "section: direct not asked again",
        CORE,
        "if !magazine.is_open() || core.direct.load(Relaxed) != 0 {",
        "if !magazine.is_open() {",
        "lock_free::nothing_is_kept_out_of_use",
    ),
    Mistake(
        "out_of_use: end Acquire",
        CORE,
        "            direct.fetch_sub(1, AcqRel)",
        "            direct.fetch_sub(1, Acquire)",
        "lock_free::a_flush_hides_no_slot",
    ),
    Mistake(
        "flush_all: nobody forgets",
        CORE,
        "self.head.magazines.iter().for_each(|magazine| magazine.owner.forget(self.head.key()));",
        "",
        "lock_free::a_pool_ends_while_a_handle_goes_to_a_magazine",
    ),
    Mistake(
        "flush_all: no fence",
        CORE,
        "        if self.head.magazines.iter().next().is_some() {\n"
        "            thread::heavy_fence();\n"
        "        }\n",
        "",
        "lock_free::a_pool_ends_while_a_handle_goes_to_a_magazine",
    ),
    Mistake(
        "flush_all: busy threads ignored",
        CORE,
        "magazine.owner.is_busy() || magazine.claimed.load(Acquire) || magazine.len() > 0",
        "magazine.claimed.load(Acquire) || magazine.len() > 0",
        "lock_free::a_pool_ends_while_a_handle_goes_to_a_magazine",
    ),
    Mistake(
        "flush: two at once",
        CORE,
        "compare_exchange(false, true, Acquire, Relaxed).is_ok();",
        "compare_exchange(false, true, Acquire, Relaxed).is_ok() || true;",
        "lock_free::two_flushes_meet_the_owner",
    ),
    Mistake(
        "flush: claim Relaxed",
        CORE,
        "compare_exchange(false, true, Acquire, Relaxed)",
        "compare_exchange(false, true, Relaxed, Relaxed)",
        "lock_free::two_thieves_get_a_slot_each",
    ),
    Mistake(
        "flush: claim ends Relaxed",
        CORE,
        "magazine.claimed.store(false, Release)",
        "magazine.claimed.store(false, Relaxed)",
        "lock_free::two_thieves_get_a_slot_each",
    ),
    Mistake(
        "flush: does not wait",
        CORE,
        "let is_idle = patience.wait_until(|| !magazine.owner.is_busy());",
        "let is_idle = true;",
        "lock_free::a_pool_ends_while_a_handle_goes_to_a_magazine",
    ),
    # Making magazines.
    Mistake(
        "table: Relaxed",
        MAGAZINE,
        "NonNull::new(self.tables[number].load(Acquire))?",
        "NonNull::new(self.tables[number].load(Relaxed))?",
        "lock_free::two_threads_make_magazines",
    ),
    Mistake(
        "get_or_make: Acquire",
        MAGAZINE,
        "new, AcqRel, Acquire).is_err()",
        "new, Acquire, Acquire).is_err()",
        "lock_free::two_threads_make_magazines",
    ),
    Mistake(
        "get_or_make: magazine Relaxed",
        MAGAZINE,
        "leak(core::iter::once(Magazine::new(thread)))?, Release);",
        "leak(core::iter::once(Magazine::new(thread)))?, Relaxed);",
        "lock_free::a_new_magazine_is_flushed",
    ),
    Mistake(
        "iter: Relaxed",
        MAGAZINE,
        "entries.filter_map(|magazine| unsafe { magazine.load(Acquire).as_ref() })",
        "entries.filter_map(|magazine| unsafe { magazine.load(Relaxed).as_ref() })",
        "lock_free::a_new_magazine_is_flushed",
    ),
    # Exact capacity.
    Mistake(
        "transfer: begun Relaxed",
        CORE,
        "exchange.begun.fetch_add(1, SeqCst)",
        "exchange.begun.fetch_add(1, Relaxed)",
        "lock_free::a_flush_hides_no_slot",
    ),
    Mistake(
        "transfer: ended Relaxed",
        CORE,
        "            ended.fetch_add(1, SeqCst)",
        "            ended.fetch_add(1, Relaxed)",
        "lock_free::a_pool_ends_while_a_handle_goes_to_the_depot",
    ),
    Mistake(
        "quiet: ended Relaxed",
        EXCHANGE,
        "self.ended.load(SeqCst)",
        "self.ended.load(Relaxed)",
        "lock_free::a_pool_ends_while_a_handle_goes_to_the_depot",
    ),
    Mistake(
        "quiet: begun Relaxed",
        EXCHANGE,
        "self.begun.load(SeqCst)",
        "self.begun.load(Relaxed)",
        "lock_free::a_pool_ends_while_a_handle_goes_to_the_depot",
    ),
    Mistake(
        "steal: transfers ignored",
        CORE,
        "if quiet.is_some() && self.head.exchange.quiet() == quiet {\n                patience",
        "if true {\n                patience",
        "lock_free::a_flush_hides_no_slot",
    ),
    Mistake(
        "steal: transfers not looked at again",
        CORE,
        "if quiet.is_some() && self.head.exchange.quiet() == quiet {\n                patience",
        "if quiet.is_some() {\n                patience",
        "lock_free::a_flush_while_a_thread_looks_hides_no_slot",
    ),
    Mistake(
        "steal: no flush",
        CORE,
        "                all_flushed = self.flush_all(patience);\n",
        "",
        "lock_free::a_slot_handed_over_to_a_magazine_is_found",
    ),
    Mistake(
        "steal: exchange ignored",
        CORE,
        "            self.flush_exchange();\n            if self.depot.vacant() >= needed",
        "            if self.depot.vacant() >= needed",
        "lock_free::a_slot_in_the_exchange_is_found",
    ),
    Mistake(
        "flush: no transfer",
        CORE,
        "            self.note_peak();\n            let _transfer = self.head.transfer();\n            loop {",
        "            loop {",
        "lock_free::a_flush_of_all_hides_no_slot",
    ),
    Mistake(
        "flush_exchange: no transfer",
        CORE,
        "            let _transfer = self.head.transfer();\n            let mut batch",
        "            let mut batch",
        "lock_free::a_flush_of_the_exchange_hides_no_slot",
    ),
    Mistake(
        "flush_thread: no transfer",
        CORE,
        "        let wakers = {\n            let _transfer = self.head.transfer();\n            loop {",
        "        let wakers = {\n            loop {",
        "lock_free::a_flush_hides_no_slot",
    ),
    Mistake(
        "exchange: put ends Relaxed",
        EXCHANGE,
        "len.swap(slots.len(), SeqCst)",
        "len.swap(slots.len(), Relaxed)",
        "lock_free::an_exchange_hides_no_slot",
    ),
    Mistake(
        "exchange: take Relaxed",
        EXCHANGE,
        "            let count = len.load(SeqCst);\n"
        "            // Pairs with the end of `put`: the slots have been written.\n"
        "            let is_mine =\n"
        "                count != 0 && count != IN_USE && len.compare_exchange(count, IN_USE, Acquire, Relaxed)",
        "            let count = len.load(Relaxed);\n"
        "            let is_mine =\n"
        "                count != 0 && count != IN_USE && len.compare_exchange(count, IN_USE, Relaxed, Relaxed)",
        "lock_free::an_exchange_hides_no_slot",
    ),
    Mistake(
        "exchange: two take at once",
        EXCHANGE,
        "len.compare_exchange(count, IN_USE, Acquire, Relaxed).is_ok();",
        "len.load(Acquire) == count;",
        "lock_free::a_slot_in_the_exchange_has_one_owner",
    ),
    Mistake(
        "exchange: two put at once",
        EXCHANGE,
        "&& len.compare_exchange(0, IN_USE, Acquire, Relaxed).is_ok();",
        "&& len.load(Acquire) == 0;",
        "lock_free::two_threads_leave_slots_in_the_exchange",
    ),
    Mistake(
        "sets: read, taken Relaxed",
        SETS,
        "fetch_and(!wanted, SeqCst)",
        "fetch_and(!wanted, Relaxed)",
        "lock_free::a_slot_has_one_owner",
    ),
    Mistake(
        "sets: taken by two",
        SETS,
        "fetch_and(!wanted, SeqCst) & wanted",
        "fetch_and(!wanted, SeqCst) | wanted",
        "lock_free::a_slot_has_one_owner",
    ),
    Mistake(
        "sets: no last look",
        SETS,
        "if missing == wanted {",
        "if false {",
        "lock_free::a_slot_has_one_owner",
    ),
    # Waiting.
    Mistake(
        "serve: no fence",
        LINE,
        "        fence(SeqCst);\n        if self.waiting",
        "        if self.waiting",
        "lock_free::a_waiter_is_served_by_the_depot",
    ),
    Mistake(
        "serve: note never cleared",
        LINE,
        "                self.pending.swap(false, SeqCst);\n",
        "",
        "locked::a_waiter_is_served_by_the_depot",
    ),
    Mistake(
        "serve: note not read again",
        LINE,
        "            fence(SeqCst);\n        }\n        wakers",
        "            break;\n        }\n        wakers",
        "locked::a_waiter_is_served_by_the_depot",
    ),
    Mistake(
        "wait: no flush",
        WAITING,
        "        waiting.flushed = self.flush_all(&mut self.patience());",
        "        waiting.flushed = true;",
        "lock_free::a_waiter_is_served_by_a_magazine",
    ),
    Mistake(
        "wait: magazines in use",
        WAITING,
        "        mem::forget(self.head.out_of_use());\n        let mut waiting",
        "        self.head.direct.fetch_add(0, Relaxed);\n        let mut waiting",
        "lock_free::a_waiter_is_served_by_a_magazine",
    ),
    Mistake(
        "wait: not served",
        WAITING,
        "        wake(&mut self.serve().into_iter());\n        waiting",
        "        waiting",
        "locked::a_waiter_is_served_by_the_depot",
    ),
    Mistake(
        "wait: closed not asked",
        WAITING,
        "        if self.head.closed.load(SeqCst) {\n            wake",
        "        if false {\n            wake",
        "lock_free::a_waiter_is_told_of_the_end",
    ),
    Mistake(
        "cancel: slot not handed on",
        WAITING,
        "            drop(core.vacancy_of(taken));",
        "            mem::forget(core.vacancy_of(taken));",
        "lock_free::the_last_waiter_loses_no_slot",
    ),
    Mistake(
        "cancel: not served",
        WAITING,
        "        let _serve = Defer(|| wake(&mut core.serve().into_iter()));\n",
        "",
        "lock_free::a_cancelled_waiter_loses_no_slot",
    ),
    Mistake(
        "cancel: stays in the line",
        WAITING,
        "        core.head.line.leave(self.ticket);\n",
        "",
        "lock_free::the_last_waiter_loses_no_slot",
    ),
]


def copy(to: Path) -> None:
    list_files = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(list_files, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in names.split("\0"):
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def check(mistakes: list) -> None:
    """Exits if some cannot be made, because the sources have changed."""
    stale = [
        f"{mistake.name}: found {count} times in {mistake.file}:\n{mistake.old}"
        for mistake in mistakes
        if (count := (ROOT / SOURCES / mistake.file).read_text().count(mistake.old)) != 1
    ]
    if stale:
        sys.exit("\n".join(stale))


def build(tree: Path, env: dict[str, str]) -> str:
    """Returns the path of the test program."""
    # What is built anew each time is not worth optimizing; loom is.
    config = ["--config", "profile.release.package.fastalloc.opt-level=0"]
    command = ["cargo", "test", "--locked", "--release", *config, "--package", "fastalloc", "--lib"]
    done = subprocess.run([*command, "--features", "lock-free", "--no-run"], cwd=tree, env=env, capture_output=True, text=True)
    found = re.search(r"Executable .* \((.*)\)", done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(done.stderr)
    return found[1]


def passes(program: str, model: str, env: dict[str, str]) -> bool:
    """Whether the model passes, or finds nothing for two minutes."""
    command = [program, "--exact", f"raw::threads::models::{model}"]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return True
    # Without a failure no model was run if there is none with that name.
    if done.returncode == 0 and "1 passed" not in done.stdout:
        sys.exit(f"there is no model {model}")
    return done.returncode == 0


def main() -> None:
    check(MISTAKES)
    if sys.argv[1:] == ["--check"]:
        return
    wanted = [mistake for mistake in MISTAKES if all(part in mistake.name for part in sys.argv[1:])]
    env = dict(os.environ, RUSTFLAGS="--cfg fastalloc_loom", RUST_BACKTRACE="0")
    env.setdefault("CARGO_TARGET_DIR", str(ROOT / "target" / "loom_mutations"))
    env.setdefault("LOOM_MAX_PREEMPTIONS", "2")
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy(tree)
        for name, file, old, new, model in wanted:
            source = tree / SOURCES / file
            text = source.read_text()
            source.write_text(text.replace(old, new))
            program = build(tree, env)
            source.write_text(text)
            is_missed = passes(program, model, env)
            missed += is_missed
            print(f"| {name} | {'NOT FOUND by ' if is_missed else ''}{model} |", flush=True)
    if missed or not wanted:
        sys.exit(f"{missed} mistakes of {len(wanted)} were not found")
    print(f"all {len(wanted)} mistakes were found")


if __name__ == "__main__":
    main()
