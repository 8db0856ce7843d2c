#!/usr/bin/env python3
"""A class that has a pool of its instances, which threads share.

    python examples/decorator.py [REQUESTS]
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

from fastalloc import ThreadSafePool, pooled


@pooled(capacity=4, thread_safe=True, reset_method="clear")
class Report:
    """Lines of text."""

    pool: ClassVar[ThreadSafePool[Any]]

    def __init__(self) -> None:
        self.lines: list[str] = []

    def clear(self) -> None:
        """Called by the pool before a report is handed out."""
        self.lines.clear()


def handle(number: int) -> int:
    """A request: writes a report, and says how long it is."""
    # There may be more requests than reports: then one waits for the other.
    with Report.pool.allocate(timeout=10) as report:
        report.lines.append(f"request {number}")
        time.sleep(0.001)
        report.lines.append("done")
        return len(report.lines)


def main(requests: int = 1000) -> None:
    """The program."""
    with ThreadPoolExecutor(8) as threads:
        lines = sum(threads.map(handle, range(requests)))
    print(f"{lines} lines in {Report.pool.available()} reports, of which {Report.pool.size()} are in use")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
