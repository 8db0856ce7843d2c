#!/usr/bin/env python3
"""Checks that the links in the repository's documents lead somewhere: to files that are there, and headings that are in them.

Links to other hosts are not followed. Needs Python and git.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
BLOCKS = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^()\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return listed.stdout.splitlines()


def anchors(path: Path) -> set[str]:
    """What can follow `#` in a link to a document, as GitHub makes it."""
    found: set[str] = set()
    for title in re.findall(r"^#{1,6} (.*)$", BLOCKS.sub("", path.read_text()), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()).replace(" ", "-")
        again = sum(anchor == name or re.fullmatch(rf"{re.escape(name)}-\d+", anchor) is not None for anchor in found)
        found.add(f"{name}-{again}" if again else name)
    return found


def broken(document: str) -> list[str]:
    path = ROOT / document
    wrong = []
    # In the text of a link, there may be code.
    text = CODE.sub(lambda code: "" if code[0].startswith("```") else "`", path.read_text())
    for match in LINK.finditer(text):
        target = match[1] or match[2]
        if re.match(r"\w+:", target):
            continue
        file, _, anchor = target.partition("#")
        # Names of Rust items, which rustdoc checks.
        if "::" in file or (document.endswith("src/lib.md") and "/" not in file and "." not in file):
            continue
        to = (path.parent / file).resolve() if file else path
        if not to.exists():
            wrong.append(f"{document}: there is no {target}")
        elif anchor and to.suffix == ".md" and anchor not in anchors(to):
            wrong.append(f"{document}: no heading in {to.relative_to(ROOT)} is #{anchor}")
        elif not to.is_relative_to(ROOT):
            wrong.append(f"{document}: {target} is outside of the repository")
    return wrong


def main() -> None:
    documents = [path for path in tracked() if path.endswith(".md")]
    wrong = [line for document in documents if (ROOT / document).exists() for line in broken(document)]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"the links of {len(documents)} documents lead somewhere")


if __name__ == "__main__":
    main()
