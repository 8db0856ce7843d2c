"""The tests of version 0.1.1, run against this package; and the table of what is different."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DIFFERENCES = (HERE.parent / "DIFFERENCES.md").read_text()


def rows(columns: int) -> list[list[str]]:
    """The lines of the table with so many columns."""
    lines = [line.strip("|").split(" | ") for line in DIFFERENCES.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in line]
        for line in lines
        if len(line) == columns and not line[0].startswith(("---", " 0.1.1", " test"))
    ]


def test_each_difference_has_a_test() -> None:
    names = [row[-1].strip("`") for row in rows(3)]
    assert len(names) == len(set(names)) > 25
    sources = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    defined = set(re.findall(r"^(?:async )?def (test_\w+)", sources, re.MULTILINE))
    assert set(names) <= defined, set(names) - defined


def source_distribution(folder: Path) -> Path:
    """Where the source distribution of 0.1.1 is: `FASTALLOC_0_1_1`, or else it is downloaded."""
    given = os.environ.get("FASTALLOC_0_1_1")
    if given:
        return Path(given)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), "fastalloc==0.1.1"], capture_output=True, text=True, check=False
    )
    found = list(folder.glob("fastalloc-0.1.1.tar.gz"))
    if not found:
        pytest.skip(f"the published package cannot be downloaded: {done.stderr[-300:]}")
    return found[0]


@pytest.mark.timeout(300)
def test_the_tests_of_0_1_1_pass(tmp_path: Path) -> None:
    with tarfile.open(source_distribution(tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    [project] = tmp_path.glob("fastalloc-0.1.1")
    # Only its tests: what is imported must be what is installed.
    report = tmp_path / "report.txt"
    command = [sys.executable, "-m", "pytest", "-rA", "-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "tests"]
    with report.open("w") as output:
        subprocess.run(command, cwd=project, stdout=output, stderr=subprocess.STDOUT, check=False)
    text = report.read_text()
    passed = set(re.findall(r"^PASSED \S+::(\w+)", text, re.MULTILINE))
    failed = set(re.findall(r"^(?:FAILED|ERROR) \S+::(\w+)", text, re.MULTILINE))
    allowed = {row[0].strip("`") for row in rows(2)}
    assert failed <= allowed, text
    assert len(passed) + len(failed) == 57, text
