"""Statistics for people."""

from __future__ import annotations

from .collector import StatsCollector


class StatsReporter:
    """Writes what a collector has counted."""

    def __init__(self, collector: StatsCollector) -> None:
        self.collector = collector

    def to_dict(self) -> dict[str, int]:
        """The collector's snapshot."""
        return self.collector.snapshot()

    def to_text(self) -> str:
        """A report of some twenty lines."""
        stats = self.collector.snapshot()
        return "\n".join(
            [
                "pool statistics",
                "=" * 50,
                "",
                "allocations:",
                f"  total: {stats['total_allocations']:,}",
                f"  average time: {stats['avg_allocation_time_ns']:,} ns",
                "",
                "releases:",
                f"  total: {stats['total_releases']:,}",
                f"  average time: {stats['avg_release_time_ns']:,} ns",
                "",
                "resets:",
                f"  total: {stats['total_resets']:,}",
                "",
                "capacity:",
                f"  current: {stats['current_capacity']:,}",
                f"  peak: {stats['peak_capacity']:,}",
                f"  growth events: {stats['growth_events']:,}",
                "",
                "usage:",
                f"  current in use: {stats['current_in_use']:,}",
                f"  peak in use: {stats['peak_in_use']:,}",
                "",
            ]
        )

    def print_report(self) -> None:
        """Print the report."""
        print(self.to_text())

    def summary(self) -> str:
        """One line."""
        stats = self.collector.snapshot()
        return (
            f"allocs={stats['total_allocations']:,} "
            f"releases={stats['total_releases']:,} "
            f"in_use={stats['current_in_use']:,}/{stats['current_capacity']:,} "
            f"peak={stats['peak_in_use']:,}"
        )
