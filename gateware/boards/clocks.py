"""Clocks: the PLL that makes a board's oscillator into the clock of the gateware."""

from dataclasses import dataclass

from amaranth.hdl import ClockDomain, ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import io, wiring
from amaranth.lib.wiring import Out

__all__ = ["Clock", "Ecp5Dividers", "Ice40Dividers", "ecp5_dividers", "ice40_dividers"]

_SETTLE = 20e-6
"""Seconds to wait after the PLL has locked. Block RAM of an iCE40 reads as zero for the first 3 us."""


@dataclass(frozen=True, slots=True)
class Ecp5Dividers:
    """Of an EHXPLLL with feedback from its primary output: out = in / reference * feedback; VCO = out * output."""

    reference: int
    feedback: int
    output: int


@dataclass(frozen=True, slots=True)
class Ice40Dividers:
    """Of an SB_PLL40: out = in / (reference + 1) * (feedback + 1) / 2**output."""

    reference: int
    feedback: int
    output: int
    filter_range: int


def _unreachable(source: float, wanted: float) -> ValueError:
    return ValueError(f"Clock of {wanted:g} Hz cannot be made exactly from {source:g} Hz by this PLL: choose another")


def ecp5_dividers(source: float, wanted: float) -> Ecp5Dividers:
    """Dividers for exactly the frequency wanted, with the VCO as near to 600 MHz as can be.

    Raises
    ------
    ValueError
        If there are none.
    """
    found = [
        (abs(wanted * output - 600e6), Ecp5Dividers(reference, feedback, output))
        for reference in range(1, 17)
        for feedback in range(1, 81)
        if source / reference >= 3.125e6 and abs(source / reference * feedback - wanted) < 1
        for output in range(1, 129)
        if 400e6 <= wanted * output <= 800e6
    ]
    if not found:
        raise _unreachable(source, wanted)
    return min(found, key=lambda candidate: candidate[0])[1]


def ice40_dividers(source: float, wanted: float) -> Ice40Dividers:
    """Dividers for exactly the frequency wanted.

    Raises
    ------
    ValueError
        If there are none.
    """
    limits = (17e6, 26e6, 44e6, 66e6, 101e6, 133e6)  # of the filter ranges 1 to 6
    for reference in range(16):
        phase = source / (reference + 1)
        if not 10e6 <= phase <= 133e6:
            continue
        for output in range(1, 7):
            for feedback in range(128):
                vco = phase * (feedback + 1)
                if 533e6 <= vco <= 1066e6 and abs(vco / 2**output - wanted) < 1:
                    filter_range = 1 + sum(phase >= limit for limit in limits[:-1])
                    return Ice40Dividers(reference, feedback, output, filter_range)
    raise _unreachable(source, wanted)


class Clock(wiring.Component):
    """Drives the domain ``sync`` of its parent, and says when it is steady.

    The domain needs no reset: every register starts at its initial value when the FPGA is configured, and nothing moves
    before the first byte comes in. So it is enough to keep bytes out until the clock is ``ready``.

    Parameters
    ----------
    family
        ``ecp5`` or ``ice40``.
    frequency
        Frequency of the domain in Hz.

    Attributes
    ----------
    ready
        High from some time after the PLL has locked.
    """

    ready: Out(1)

    def __init__(self, family: str, frequency: int) -> None:
        self._family, self._frequency = family, frequency
        super().__init__()

    def elaborate(self, platform) -> Module:
        m = Module()
        source = platform.default_clk_frequency
        oscillator, clock, locked = Signal(), Signal(name="clock"), Signal()
        m.domains.board = ClockDomain(reset_less=True, local=True)
        port = platform.request(platform.default_clk, dir="-")
        if self._family == "ecp5":
            m.submodules.buffer = buffer = io.Buffer("i", port)
            m.d.comb += oscillator.eq(buffer.i)
            m.submodules.pll = self._ecp5(ecp5_dividers(source, self._frequency), oscillator, clock, locked)
        else:
            # The pin feeds the PLL only, which hands its signal on: at this pin there is no other way in.
            m.submodules.pll = self._ice40(ice40_dividers(source, self._frequency), port, oscillator, clock, locked)
        m.d.comb += [ClockSignal("sync").eq(clock), ClockSignal("board").eq(oscillator)]

        wait = round(_SETTLE * source)
        timer, done = Signal(range(wait + 1)), Signal()
        with m.If(timer == wait):
            m.d.board += done.eq(1)
        with m.Elif(locked):
            m.d.board += timer.eq(timer + 1)
        steady = Signal()
        m.d.sync += [steady.eq(done), self.ready.eq(steady)]
        return m

    def _ecp5(self, dividers: Ecp5Dividers, oscillator, clock, locked) -> Instance:
        return Instance(
            "EHXPLLL",
            p_CLKI_DIV=dividers.reference,
            p_CLKFB_DIV=dividers.feedback,
            p_CLKOP_DIV=dividers.output,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_CPHASE=dividers.output // 2,
            p_CLKOP_FPHASE=0,
            p_FEEDBK_PATH="CLKOP",
            p_OUTDIVIDER_MUXA="DIVA",
            i_CLKI=oscillator,
            i_CLKFB=clock,
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(0),
            i_PHASESTEP=Const(0),
            i_PHASELOADREG=Const(0),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            o_CLKOP=clock,
            o_LOCK=locked,
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
        )

    def _ice40(self, dividers: Ice40Dividers, port, oscillator, clock, locked) -> Instance:
        return Instance(
            "SB_PLL40_2_PAD",
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=dividers.reference,
            p_DIVF=dividers.feedback,
            p_DIVQ=dividers.output,
            p_FILTER_RANGE=dividers.filter_range,
            p_PLLOUT_SELECT_PORTB="GENCLK",
            i_RESETB=Const(1),
            i_BYPASS=Const(0),
            io_PACKAGEPIN=port.io,
            o_PLLOUTGLOBALA=oscillator,
            o_PLLOUTGLOBALB=clock,
            o_LOCK=locked,
        )
