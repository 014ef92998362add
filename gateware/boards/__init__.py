"""FPGA boards: what is known of each, and the top of its gateware."""

from .board import Board, Lamps, find_board, load_board
from .known import BOARDS

__all__ = ["BOARDS", "Board", "Lamps", "find_board", "load_board"]
