"""The boards that Equipoise knows."""

from __future__ import annotations

from typing import Any

from ...substrate.geometry import Geometry
from .board import Board, Lamps

__all__ = ["BOARDS"]

_ECP5_CLOCK = 60_000_000
"""What the boards' own geometries reach (docs/boards.md); smaller ones run faster. A bit takes 20 cycles at 3 Mbaud."""

_FULL_CLOCK = 45_000_000
"""Of an LFE5U-85F of the slowest grade with most of its multipliers in use: wires are long. A bit takes 15 cycles."""

SMALL_ECP5 = Geometry(
    lanes=8, contexts=1, neurons=256, rows=1024, groups=8, levels=8, sample_words=8192, output_words=4096
)
"""For an LFE5U-25F; two contexts would take all of its 28 multipliers."""

MIDDLE_ECP5 = Geometry(
    lanes=8, contexts=2, neurons=256, rows=2048, groups=16, levels=8, sample_words=8192, output_words=2048
)
"""For an LFE5U-45F: all of its 108 block RAMs, and 28 of its 72 multipliers; three contexts were not routed."""

LARGE_ECP5 = Geometry(
    lanes=8, contexts=11, neurons=256, rows=2048, groups=16, levels=8, sample_words=8192, output_words=2048
)
"""For an LFE5U-85F: 145 of its 156 multipliers, and 207 of its 208 block RAMs. Contexts rather than lanes: a lane
without a rank channel idles."""


def _icebreaker() -> Any:
    from amaranth_boards.icebreaker import ICEBreakerPlatform  # noqa: PLC0415 (only to build)

    platform = ICEBreakerPlatform()
    platform.add_resources(platform.break_off_pmod)
    return platform


def _ulx3s(size: str, idcode: int, geometry: Geometry, clock: int = _ECP5_CLOCK) -> Board:
    return Board(
        name=f"ulx3s-{size.lower()}",
        summary=f"Radiona ULX3S with LFE5U-{size}",
        platform=f"amaranth_boards.ulx3s:ULX3S_{size}_Platform",
        family="ecp5",
        part=f"LFE5U-{size}",
        idcode=idcode,
        clock=clock,
        baud=3_000_000,  # the most that its FT231X does
        geometry=geometry,
        lamps=Lamps(alive=("led", 0), busy=("led", 1), saturated=("led", 2), link_error=("led", 3)),
        usb=(0x0403, 0x6015),
        loader=("--board", "ulx3s"),
    )


def _ecpix5(size: str, idcode: int, geometry: Geometry) -> Board:
    return Board(
        name=f"ecpix5-{size.lower()}",
        summary=f"LambdaConcept ECPIX-5 with LFE5UM5G-{size}",
        platform=f"amaranth_boards.ecpix5:ECPIX5{size.rstrip('F')}Platform",
        family="ecp5",
        part=f"LFE5UM5G-{size}",
        idcode=idcode,
        clock=_ECP5_CLOCK,
        baud=4_000_000,
        geometry=geometry,
        lamps=Lamps(
            alive=("rgb_led.g", 0), busy=("rgb_led.b", 1), saturated=("rgb_led.r", 2), link_error=("rgb_led.r", 3)
        ),
        usb=(0x0403, 0x6010),
        loader=("--board", "ecpix5"),
    )


def _colorlight(model: str, size: str, idcode: int, geometry: Geometry) -> Board:
    return Board(
        name=f"colorlight-{model}",
        summary=f"Colorlight {model} with LFE5U-{size}, on the extension board of Muse Lab",
        platform=f"equipoise.gateware.boards.colorlight:Colorlight{model.capitalize()}Platform",
        family="ecp5",
        part=f"LFE5U-{size}",
        idcode=idcode,
        clock=_ECP5_CLOCK,
        baud=460_800,  # the serial port is a microcontroller's
        geometry=geometry,
        lamps=Lamps(busy=("led", 0)),
        usb=(0x0D28, 0x0204),
        loader=("--board", f"colorlight-{model}"),
    )


BOARDS: dict[str, Board] = {
    board.name: board
    for board in (
        _ulx3s("85F", 0x41113043, LARGE_ECP5, _FULL_CLOCK),
        _ulx3s("25F", 0x41111043, SMALL_ECP5),
        _ecpix5("85F", 0x81113043, LARGE_ECP5),
        _ecpix5("45F", 0x81112043, MIDDLE_ECP5),
        _colorlight("i5", "25F", 0x41111043, SMALL_ECP5),
        _colorlight("i9", "45F", 0x41112043, MIDDLE_ECP5),
        Board(
            name="icebreaker",
            summary="1BitSquared iCEBreaker with iCE40UP5K, compact",
            platform=_icebreaker,
            family="ice40",
            part="iCE40UP5K",
            idcode=None,
            clock=24_000_000,
            baud=3_000_000,
            geometry=Geometry(
                lanes=1, contexts=1, modules=3, neurons=32, rows=512, groups=16, levels=8,
                sample_words=512, output_words=256, compact=1,
            ),
            lamps=Lamps(alive=("led", 1), busy=("led", 2), saturated=("led", 3), link_error=("led", 0)),
            usb=(0x0403, 0x6010),
            loader=("--board", "ice40_generic"),
            volatile=False,
            buffer=2049,  # a power of two in block RAM, and one in its register
        ),
    )
}  # fmt: skip
"""Every board, by its name."""
