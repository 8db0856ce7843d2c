"""The examples and the benchmark of buffers run, as a user would run them, and say what they are to say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
EXAMPLES = HERE / "examples"
# With small sizes, and something that is said only if all has gone well.
RUNS = {
    "asyncio_client.py": (["90", "3"], r"90 answers over \d connections, 3 of them at a time"),
    "decorator.py": (["100"], r"200 lines in [1-4] reports, of which 0 are in use"),
    "game_loop.py": (["30", "1000"], r"created .* ms +[1-9]\d* .*\n *pooled .* ms +0 +0\.000 ms"),
    "numpy_scratch.py": (["3", "64"], r"18 arrays were made in 3 blocks of memory; 0 are in use"),
    "pool_statistics.py": (["3000"], r"(?s)growth events: [1-9].*at most (\d+) jobs at a time: FixedPool\(Job, \d+\)"),
}


def test_all_examples_are_run() -> None:
    assert set(RUNS) == {path.name for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", RUNS)
def test_examples_run(name: str) -> None:
    arguments, expected = RUNS[name]
    done = run(EXAMPLES / name, *arguments)
    assert done.stderr == ""
    assert re.search(expected, done.stdout), done.stdout


def test_the_benchmark_of_buffers_runs() -> None:
    table = run(HERE / "bench" / "buffers.py", "--rounds", "1").stdout
    assert re.search(r"(?s)untouched .*\npool.get .* ns +1\.0 .*written .*\nbytearray ( +[\d,]+ ns +[\d,]+\.\d){4}\n", table), table


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done
