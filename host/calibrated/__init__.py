"""Calibrations as the host uses them: which one a board gets, and pages about them."""

from .correction import correction_for
from .report import write_calibration_report

__all__ = ["correction_for", "write_calibration_report"]
