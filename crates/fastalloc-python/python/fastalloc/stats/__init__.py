"""What pools have done."""

from .collector import StatsCollector
from .reporter import StatsReporter

__all__ = ["StatsCollector", "StatsReporter"]
