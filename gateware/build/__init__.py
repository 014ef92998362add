"""Bitstreams: from the gateware to a file for a board, with a report."""

from .build import BoardBuild, bitstream_folder, build_bitstream, find_bitstream, parse_geometry
from .report import BuildReport

__all__ = ["BoardBuild", "BuildReport", "bitstream_folder", "build_bitstream", "find_bitstream", "parse_geometry"]
