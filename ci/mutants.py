#!/usr/bin/env python3
"""Shows which changes of fastalloc no test finds: mutation tests.

The changes are those of cargo-mutants: functions that return something at once, other operators, guards of matches that
always or never hold. It would compile the tests for each; here all changes are compiled at once, each behind a number
that the environment chooses when the tests start, so that a change takes seconds instead of most of a minute.

Changes that do not compile are no changes. Those in what is evaluated at compile time, and those of fields and arms, cannot
be chosen so: --list-left prints them, to be given to cargo mutants one by one.

Fails if a change is not found by the tests and not in ci/survivors.md, which says why. Arguments choose changes by
parts of their names: `ci/mutants.py raw/local.rs`. --again takes only those up that ci/survivors.md has.

Needs cargo, cargo-mutants, git and Python. Takes three hours on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from loom_mutations import ROOT, SOURCES, copy

SURVIVORS = ROOT / "ci/survivors.md"
# Tests of ci/loom.sh, which are not compiled here.
LEFT_OUT = ("raw/threads/models.rs",)
# In the order in which they take time.
PROGRAMS = ("lib", "events", "threads", "it")
# In seconds. Without changes the slowest takes thirty on two cores.
PATIENCE = 90

SWITCH = """
extern crate std;

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

static CHOSEN: AtomicU32 = AtomicU32::new(0);

#[inline(always)]
pub(crate) fn is(number: u32) -> bool {
    CHOSEN.load(Relaxed) == number
}

/// Before all else, because it allocates.
#[used]
#[unsafe(link_section = ".init_array")]
static CHOOSE: extern "C" fn() = choose;

extern "C" fn choose() {
    if let Ok(number) = std::env::var("MUTANT") {
        CHOSEN.store(number.parse().expect("a number"), Relaxed);
    }
}
"""

PROFILE = """
[profile.mutants]
inherits = "dev"
opt-level = 1
debug = 0
"""


class Change(NamedTuple):
    number: int
    # In the sources of the crate.
    file: str
    # As cargo mutants says it, without the place.
    name: str
    kind: str
    # Line and column, where it begins and ends.
    begin: tuple[int, int]
    end: tuple[int, int]
    replacement: str

    @property
    def title(self) -> str:
        return f"{self.file}: {self.name}"

    @property
    def condition(self) -> str:
        return f"crate::mutant::is({self.number})"


class Place(NamedTuple):
    """Where an expression is, in bytes."""

    begin: int
    end: int
    is_guard: bool


class Operator(NamedTuple):
    """Bytes of an operator and of its operands; of a guard, which has neither, all are its own."""

    left: tuple[int, int]
    sign: tuple[int, int]
    right: tuple[int, int]

    @property
    def whole(self) -> tuple[int, int]:
        return self.left[0], self.right[1]


def changes() -> list[Change]:
    command = ["cargo", "mutants", "--package", "fastalloc", "--list", "--json"]
    listed = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    found = []
    for number, change in enumerate(listed, 1):
        file = str(Path(change["file"]).relative_to(SOURCES))
        name = change["name"].split(": ", 1)[1]
        begin, end = ((change["span"][at]["line"], change["span"][at]["column"]) for at in ("start", "end"))
        if file not in LEFT_OUT:
            found.append(Change(number, file, name, change["genre"], begin, end, change["replacement"]))
    return found


def operators(path: Path, env: dict[str, str]) -> list[Operator]:
    manifest = str(ROOT / "ci/mutants/Cargo.toml")
    command = ["cargo", "run", "--quiet", "--locked", "--manifest-path", manifest, "--", str(path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout.splitlines()
    numbers = (tuple(map(int, line.split())) for line in lines)
    return [Operator((a, b), (c, d), (e, f)) for a, b, c, d, e, f in numbers]


class Source:
    """A file with changes behind numbers."""

    def __init__(self, text: str, changes: list[Change], operators: list[Operator]) -> None:
        self.text = text.encode()
        self.starts = [0] + [at + 1 for at, byte in enumerate(self.text) if byte == ord("\n")]
        by_sign = {operator.sign[0]: operator for operator in operators}
        # What is inserted at the start of a body, and what becomes of an expression, by where they are. A guard may be
        # as long as an operation is: it is around that.
        self.bodies: dict[int, list[Change]] = {}
        self.expressions: dict[Place, tuple[Operator, list[Change]]] = {}
        for change in changes:
            begin, end = self.offset(change.begin), self.offset(change.end)
            if change.kind == "FnValue":
                self.bodies.setdefault(begin, []).append(change)
                continue
            is_guard = change.kind == "MatchArmGuard"
            operator = Operator((begin, begin), (begin, end), (end, end)) if is_guard else by_sign[begin]
            place = Place(*operator.whole, is_guard)
            self.expressions.setdefault(place, (operator, []))[1].append(change)
        self.order = sorted(self.expressions, key=lambda place: (place.begin, -place.end, not place.is_guard))

    def offset(self, place: tuple[int, int]) -> int:
        line, column = place
        start = self.starts[line - 1]
        return start + len(self.text[start:].decode()[: column - 1].encode())

    def changed(self) -> str:
        return self.render((0, len(self.text)), None)

    def render(self, part: tuple[int, int], inside: Place | None) -> str:
        """The text of a part, which is an operand of the expression that it is inside of, or the file."""
        out, at = "", part[0]
        for place in self.order:
            if place.begin < at or place.end > part[1] or place == inside:
                continue
            out += self.plain(at, place.begin, inside is None or at > part[0])
            if inside is None or place.begin > part[0]:
                out += self.returns(place.begin)
            out += self.expression(place)
            at = place.end
        return out + self.plain(at, part[1], inside is None or at > part[0])

    def plain(self, start: int, end: int, with_first: bool) -> str:
        out = ""
        for body in sorted(self.bodies):
            if start <= body < end and (with_first or body > start):
                out += self.text[start:body].decode() + self.returns(body)
                start = body
        return out + self.text[start:end].decode()

    def returns(self, body: int) -> str:
        of = self.bodies.get(body, [])
        return "".join(f"\nif {change.condition} {{ return {change.replacement}; }}\n" for change in of)

    def expression(self, place: Place) -> str:
        operator, of = self.expressions[place]
        sign = self.text[operator.sign[0] : operator.sign[1]].decode()
        if place.is_guard:
            guard = self.render(operator.sign, place)
            for change in of:
                how = f"{change.condition} ||" if change.replacement == "true" else f"!{change.condition} &&"
                guard = f"(\n{how} ({guard}))"
            return guard
        left, right = self.render(operator.left, place), self.render(operator.right, place)
        branches = (f"\nif {change.condition} {{ {left} {change.replacement} {right} }} else " for change in of)
        return f"({''.join(branches)}\n{{ {left} {sign} {right} }})"


def compile_all(tree: Path, all_changes: list[Change], env: dict[str, str]) -> tuple[list[Change], list[Change]]:
    """Puts all changes into the tree that compile. Returns these, and those that cannot be chosen when the tests run."""
    left = [change for change in all_changes if change.kind in ("StructField", "MatchArm")]
    changes = [change for change in all_changes if change not in left]
    sources = tree / SOURCES
    original = {file: (sources / file).read_text() for file in {change.file for change in changes}}
    signs = {file: operators(sources / file, env) for file in original}
    (sources / "mutant.rs").write_text(SWITCH)
    lib = (sources / "lib.rs").read_text()
    (sources / "lib.rs").write_text(lib.replace("\nmod ", "\nmod mutant;\nmod ", 1))
    with (tree / "Cargo.toml").open("a") as manifest:
        manifest.write(PROFILE)
    while True:
        for file, text in original.items():
            of_file = [change for change in changes if change.file == file]
            (sources / file).write_text(Source(text, of_file, signs[file]).changed())
        refused = dict(errors(tree, env))
        left += [change for change in changes if refused.get(change.number) == "E0015"]
        changes = [change for change in changes if change.number not in refused]
        if not refused:
            return changes, left


def errors(tree: Path, env: dict[str, str]) -> Iterator[tuple[int, str]]:
    """Numbers of changes that do not compile, and the codes of the errors."""
    command = ["cargo", "check", "--locked", "--package", "fastalloc", "--all-features", "--message-format=json"]
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        message = json.loads(line).get("message") or {}
        if not isinstance(message, dict) or message.get("level") != "error" or not message["spans"]:
            continue
        numbers = [number for span in message["spans"] if span["is_primary"] for number in before(tree, span)]
        if not numbers:
            sys.exit(f"not because of a change:\n{message['rendered']}")
        code = (message.get("code") or {}).get("code", "")
        yield from ((number, code) for number in numbers)


def before(tree: Path, span: dict) -> list[int]:
    """Numbers of the changes in the line of an error, or in the last line before it that has any."""
    lines = (tree / span["file_name"]).read_text().split("\n")[: span["line_start"]]
    for line in reversed(lines):
        if numbers := re.findall(r"mutant::is\((\d+)\)", line):
            return [int(number) for number in numbers]
    return []


def programs(tree: Path, env: dict[str, str]) -> dict[str, str]:
    command = ["cargo", "test", "--locked", "--profile", "mutants", "--package", "fastalloc", "--all-features", "--no-run"]
    tests = [argument for name in PROGRAMS for argument in (["--lib"] if name == "lib" else ["--test", name])]
    done = subprocess.run([*command, *tests], cwd=tree, env=env, stderr=subprocess.PIPE, text=True)
    found = dict(re.findall(r"Executable (?:tests/|unittests src/)(\w+)\S* \((.*)\)", done.stderr))
    if done.returncode != 0 or sorted(found) != sorted(PROGRAMS):
        sys.exit(done.stderr)
    return found


def finds(program: str, tree: Path, env: dict[str, str]) -> bool:
    """Whether a test fails, crashes or hangs."""
    with subprocess.Popen(
        [program, "--test-threads=2"],
        cwd=tree / SOURCES.parent,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as tests:
        watchdog = threading.Timer(PATIENCE, os.killpg, (tests.pid, signal.SIGKILL))
        watchdog.start()
        failed = any(line.startswith("test ") and line.rstrip().endswith("FAILED") for line in tests.stdout)
        watchdog.cancel()
        if failed:
            os.killpg(tests.pid, signal.SIGKILL)
    return failed or tests.returncode != 0


def explained() -> Counter[str]:
    return Counter(re.findall(r"^- `(.*)`$", SURVIVORS.read_text(), re.MULTILINE))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("part", nargs="*", help="of the names of changes")
    parser.add_argument("--again", action="store_true", help="only what ci/survivors.md has")
    parser.add_argument("--list-left", action="store_true", help="print what is left to cargo mutants")
    args = parser.parse_args()
    env = dict(os.environ, RUST_BACKTRACE="0", PROPTEST_CASES="64")
    env["RUSTFLAGS"] = "-Awarnings -Aarithmetic_overflow -Aunconditional_panic -Aoverflowing_literals"
    env.setdefault("CARGO_TARGET_DIR", str(ROOT / "target/mutants"))
    known = explained()
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy(tree)
        compiled, left = compile_all(tree, changes(), env)
        if args.list_left:
            print("\n".join(change.title for change in left))
            return
        wanted = [change for change in compiled if all(part in change.title for part in args.part)]
        if args.again:
            wanted = [change for change in wanted if change.title in known]
        tests = programs(tree, env)
        for name in PROGRAMS:
            if finds(tests[name], tree, env):
                sys.exit(f"the tests of {name} fail without a change")

        def survives(change: Change) -> bool:
            of_change = dict(env, MUTANT=str(change.number))
            return not any(finds(tests[name], tree, of_change) for name in PROGRAMS)

        survivors: Counter[str] = Counter()
        # The tests use two threads each.
        with ThreadPoolExecutor(max(1, (os.cpu_count() or 2) // 2)) as workers:
            for at, (change, alive) in enumerate(zip(wanted, workers.map(survives, wanted)), 1):
                survivors[change.title] += alive
                if alive:
                    print(f"{at} of {len(wanted)}: {'' if known[change.title] else 'NOT EXPLAINED: '}{change.title}", flush=True)
    found = {change.title for change in wanted} - set(+survivors)
    for title in sorted(found & set(known)):
        print(f"found by now, but still in {SURVIVORS.name}: {title}")
    unexplained = survivors - known
    print(f"{len(wanted)} changes, {survivors.total()} not found, {unexplained.total()} of them not explained; {len(left)} left out")
    if unexplained:
        sys.exit(1)


if __name__ == "__main__":
    main()
