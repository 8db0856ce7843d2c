#!/usr/bin/env python3
"""Prints which lines were run, from a file of lcov: the share of each source file, and the lines that were not.

Fails if the share of all is below a minimum, in percent: coverage.py LCOV MINIMUM.

Code that only tests contain does not count, nor do lines with nothing but brackets.
"""

import re
import sys
from pathlib import Path

# From here on a source file has only tests.
TESTS = re.compile(r"#\[cfg\((all\()?test\b")


def lines_of(lcov: str) -> dict[Path, dict[int, int]]:
    """For each source file, how often each line was run that can be."""
    files: dict[Path, dict[int, int]] = {}
    counts: dict[int, int] = {}
    for line in lcov.splitlines():
        kind, _, rest = line.partition(":")
        if kind == "SF":
            counts = files.setdefault(Path(rest), {})
        elif kind == "DA":
            number, count = rest.split(",")[:2]
            counts[int(number)] = max(counts.get(int(number), 0), int(count))
    return files


def main() -> None:
    lcov, minimum = Path(sys.argv[1]), float(sys.argv[2])
    run, known, missed = 0, 0, []
    for path, counts in sorted(lines_of(lcov.read_text()).items()):
        source = path.read_text().splitlines()
        end = next((number for number, line in enumerate(source, 1) if TESTS.match(line)), len(source) + 1)
        counts = {
            number: count
            for number, count in counts.items()
            if number < end and re.search(r"\w", source[number - 1])
        }
        if not counts:
            continue
        hits = sum(count > 0 for count in counts.values())
        run, known = run + hits, known + len(counts)
        name = str(path).partition("/src/")[2]
        print(f"{name:<28} {hits:5} of {len(counts):5} {100 * hits / len(counts):6.1f} %")
        missed += [(name, number, source[number - 1].strip()) for number, count in counts.items() if count == 0]
    share = 100 * run / max(known, 1)
    print(f"{'all':<28} {run:5} of {known:5} {share:6.1f} %\n\nnot run:")
    for name, number, text in missed:
        print(f"{name}:{number}: {text}")
    if share < minimum:
        sys.exit(f"{share:.1f} % of the lines are run, {minimum:.0f} % are wanted")


if __name__ == "__main__":
    main()
