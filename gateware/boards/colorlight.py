"""Colorlight i5 and i9, LED panel receivers, on the extension board of Muse Lab (amaranth-boards has neither).

Pins as published with that board: github.com/wuxx/Colorlight-FPGA-Projects.
"""

from amaranth.build import Attrs, Clock, Pins, PinsN, Resource, Subsignal
from amaranth.vendor import LatticeECP5Platform

__all__ = ["ColorlightI5Platform", "ColorlightI9Platform"]

_ATTRS = Attrs(IO_TYPE="LVCMOS33")


def _resources(led: str) -> list[Resource]:
    return [
        Resource("clk25", 0, Pins("P3", dir="i"), Clock(25e6), _ATTRS),
        Resource("led", 0, PinsN(led, dir="o"), _ATTRS),
        Resource("uart", 0, Subsignal("rx", Pins("H18", dir="i")), Subsignal("tx", Pins("J17", dir="o")), _ATTRS),
    ]


class ColorlightI5Platform(LatticeECP5Platform):
    """Colorlight i5, LFE5U-25F."""

    device, package, speed = "LFE5U-25F", "BG381", "6"
    default_clk = "clk25"
    resources = _resources("U16")
    connectors = ()


class ColorlightI9Platform(LatticeECP5Platform):
    """Colorlight i9, LFE5U-45F."""

    device, package, speed = "LFE5U-45F", "BG381", "6"
    default_clk = "clk25"
    resources = _resources("L2")
    connectors = ()
