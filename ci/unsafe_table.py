#!/usr/bin/env python3
"""Counts what is unsafe in the sources of fastalloc and of the programs around it, and writes the table of it in SAFETY.md.

With --check, fails instead if the table is out of date, or if SAFETY.md names a test, a model, a function or a file that does not
exist: so who adds unsafe code, or renames a test, comes by the place that says why it is sound.

Needs Python and git.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "SAFETY.md"
CRATES = ("crates/fastalloc/src", "crates/fastalloc-derive/src")
# What uses the library has a line for all modules together.
AROUND = ("crates/fastalloc-trace/src", "crates/fastalloc-replay/src", "crates/fastalloc-cli/src", "crates/fastalloc-cli/recorder",
          "crates/fastalloc-python/src")  # fmt: skip
BEGIN, END = "<!-- ci/unsafe_table.py writes what follows -->\n", "<!-- end -->"

# What `unsafe` in a comment or a string does not mean. Longest first: a lifetime is no character.
NOT_CODE = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | \bb?r(\#*)".*?"\1 | \bb?"(?:\\.|[^"\\])*" | "(?:\\.|[^"\\])*" | '(?:\\[^']+|[^'\\])'""",
    re.DOTALL | re.VERBOSE,
)
# What may follow `unsafe`, when strings are empty ones.
KINDS = {
    "blocks": re.compile(r"\s*\{"),
    "fns": re.compile(r'\s+(extern\s+""\s+)?fn\s+[\w$]'),
    "impls": re.compile(r"\s+impl\b"),
    "traits": re.compile(r"\s+trait\b"),
    "fn pointers": re.compile(r'\s+(extern\s+""\s+)?fn\s*\('),
    "extern blocks": re.compile(r'\s+extern\s+""\s*\{'),
    "attributes": re.compile(r"\s*\("),
}


def count(path: Path) -> Counter[str]:
    code = NOT_CODE.sub(lambda match: '""' if match[0].endswith('"') else " ", path.read_text())
    counts = Counter[str]()
    for keyword in re.finditer(r"\bunsafe\b", code):
        kinds = [kind for kind, follows in KINDS.items() if follows.match(code, keyword.end())]
        if len(kinds) != 1:
            sys.exit(f"{path}: what is this? {code[keyword.start() : keyword.start() + 40]!r}")
        counts[kinds[0]] += 1
    return counts


def count_each(*folders: str) -> dict[str, Counter[str]]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *folders],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return {path: count(ROOT / path) for path in sorted(listed.stdout.split()) if path.endswith(".rs")}


def table() -> str:
    counts = count_each(*CRATES)
    total = sum(counts.values(), Counter[str]())
    around = {folder: sum(count_each(folder).values(), Counter[str]()) for folder in AROUND}
    lines = [f"| module | {' | '.join(KINDS)} |", f"|---{'|---:' * len(KINDS)}|"]
    rows = [(path.removeprefix("crates/"), found) for path, found in counts.items() if found]
    others = [(f"`{folder.removeprefix('crates/')}`", found) for folder, found in around.items() if found]
    for name, found in [*((f"`{path}`", found) for path, found in rows), ("in the library", total), *others]:
        lines.append(f"| {name} | {' | '.join(str(found[kind] or '') for kind in KINDS)} |".replace("  ", " "))
    none = ", ".join(f"`{path.removeprefix('crates/')}`" for path, found in [*counts.items(), *around.items()] if not found)
    return "\n".join([*lines, "", f"Nothing is unsafe in {none}.", ""])


def missing(document: str) -> list[str]:
    """What the document names, and nobody knows."""
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    known = {name for path in tracked if path.startswith(("crates/", "cfail/")) and path.endswith(".rs")
             for name in re.findall(r"\b(?:fn|mod) (\w+)|^    (\w+), E\d+", (ROOT / path).read_text(), re.MULTILINE)
             for name in name}  # fmt: skip
    words = set(re.findall(r"`([^`\s]+)`", document))
    names = {word for word in words if re.fullmatch(r"[a-z]+(_[a-z0-9]+){2,}|[A-Z]\w+::\w+", word)}
    files = {word for word in words if re.fullmatch(r"(ci|bench|cfail|crates|tests)/[\w./-]*\w", word)}
    return [
        *(word for word in sorted(names) if word.split("::")[-1] not in known),
        *(word for word in sorted(files) if not any((ROOT / at / word).exists() for at in (".", "crates/fastalloc"))),
    ]


def main() -> None:
    document = DOCUMENT.read_text()
    before, rest = document.split(BEGIN)
    after = rest[rest.index(END) :]
    written = f"{before}{BEGIN}\n{table()}\n{after}"
    if sys.argv[1:] != ["--check"]:
        DOCUMENT.write_text(written)
        document = written
    elif document != written:
        sys.exit("SAFETY.md counts unsafe code that is not there, or not all. Look whether what it says still holds, run "
                 "ci/unsafe_table.py and commit.")  # fmt: skip
    if unknown := missing(f"{before}{after}"):
        sys.exit(f"SAFETY.md names what does not exist: {', '.join(unknown)}")
    print("the table in SAFETY.md is up to date")


if __name__ == "__main__":
    main()
