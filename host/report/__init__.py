"""Reports: one HTML file that shows what a run did."""

from .report import write_report

__all__ = ["write_report"]
