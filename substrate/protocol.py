"""The link protocol and the register map: the one definition.

Gateware, driver, golden codec and documentation are all made from the tables below. Their hash is in
HELLO, so a host and a device that disagree find out before anything else happens. What the operations
mean is written in ``docs/link.md``; what the tables mean, in ``docs/gateware.md``.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from .formats import FORMATS, Fixed, Formats
from .geometry import Geometry

__all__ = [
    "HEADER",
    "MAP_HASH",
    "MAX_PAYLOAD",
    "OLDEST",
    "REGISTERS",
    "RULE",
    "SPACES",
    "UPDATE_COUNTERS",
    "VERSION",
    "Access",
    "Feature",
    "Hello",
    "Mode",
    "Operation",
    "Register",
    "Space",
    "Status",
    "features_of",
    "table_masks",
]

VERSION = 1
"""Protocol version of this host and gateware."""

OLDEST = 1
"""Oldest protocol version still served."""

MAX_PAYLOAD = 1024
"""Largest payload of a request in bytes. (Responses are streamed and may be longer.)"""

HEADER = struct.Struct("<BBHB")
"""Frame header: version, operation, sequence, status. A frame is header, payload, CRC-32 of both (little endian),
COBS encoded and ended by 0x00."""


class Operation(IntEnum):
    """What a request asks for."""

    HELLO = 0
    """Payload: session nonce (4 bytes). Answer: :class:`Hello`."""
    ECHO = 1
    """Answer: the payload."""
    READ = 2
    """Payload: space, row, count of rows (``READ_REQUEST``). Answer: the words, little endian, row after row."""
    WRITE = 3
    """Payload: space, row (``WRITE_REQUEST``), then words, whole rows. Answer: nothing."""
    RUN = 4
    """Run the minibatch that registers and sample buffer describe. Answered, with nothing, when it is done."""
    CHECK = 5
    """Payload: as of READ. Answer: the CRC-32 (4 bytes) of what READ would answer, however long."""


READ_REQUEST = struct.Struct("<BHH")
WRITE_REQUEST = struct.Struct("<BH")


class Status(IntEnum):
    """Status of a response; 0 in a request."""

    OK = 0
    """Executed."""
    REPLAYED = 1
    """Already executed under this sequence number; not executed again."""
    OUT_OF_ORDER = 2
    """An earlier request is missing. Payload: the sequence number expected (2 bytes)."""
    NO_SESSION = 3
    """No HELLO since reset."""
    BAD_VERSION = 4
    """The device does not serve this protocol version. Its own is in the header of the answer."""
    BAD_OPERATION = 5
    """No such operation."""
    BAD_LENGTH = 6
    """The payload has not the length that the operation, or the width of the space's rows, demands."""
    BAD_ADDRESS = 7
    """No such space, or not all of these rows in it, or not to be written."""
    REFUSED = 8
    """Not from the device but from what serves it: this client may not use it. Payload: why (UTF-8)."""
    ABANDONED = 9
    """The RUN was given up after as many cycles as the register ``limit`` says. What it computed is of no use."""


class Access(IntEnum):
    """Who may write."""

    READ_ONLY = 0
    READ_WRITE = 1


class Mode(IntEnum):
    """Value of the ``mode`` register: which phases a RUN goes through."""

    FREE = 0
    """Free phase only."""
    ONE_SIDED = 1
    """Free and positive phase; positive against free."""
    SYMMETRIC = 2
    """Free, positive and negative phase; positive against negative."""
    SAMPLE = 3
    """The reverse process of the schedule: from noise to samples, with a free phase between any two rows."""


class Feature(IntFlag):
    """What a device may have or not; their sum is in HELLO."""

    THERMAL = 1
    """Langevin noise."""
    GUARD = 2
    """CHECK, and the limit of cycles for a RUN."""
    SAMPLE = 4
    """The mode SAMPLE, and the schedule that it follows."""
    LEARN = 8
    """A RUN may end with an update of the parameters, which have guard bits and momentum."""


def features_of(geometry: Geometry) -> Feature:
    """What a device of this geometry has: of a compact one, nothing that not every device has."""
    return Feature(0) if geometry.compact else Feature.THERMAL | Feature.GUARD | Feature.SAMPLE | Feature.LEARN


@dataclass(frozen=True, slots=True)
class Register:
    """A 32-bit register of the ``REGISTERS`` space."""

    name: str
    access: Access
    doc: str
    width: int = 32


_RW, _RO = Access.READ_WRITE, Access.READ_ONLY

REGISTERS: tuple[Register, ...] = (
    Register("modules", _RW, "Modules in use.", 6),
    Register("groups", _RW, "Channel groups in use.", 13),
    Register("neurons", _RW, "Neurons in use.", 13),
    Register("levels", _RW, "Noise levels in use.", 7),
    Register("batch", _RW, "Samples of the minibatch, 1 to 256.", 9),
    Register("record", _RW, "Words of one sample in the sample buffer.", 16),
    Register("mode", _RW, "Phases of a RUN: 0 free, 1 one-sided, 2 symmetric, 3 sample.", 2),
    Register("free_steps", _RW, "Relaxation steps of the free phase, at least 1.", 16),
    Register("nudged_steps", _RW, "Relaxation steps of each nudged phase, at least 1.", 16),
    Register("beta", _RW, "Strength of the nudge, format `beta`, positive.", 16),
    Register("dt_shift", _RW, "The step dt is 2**-dt_shift.", 4),
    Register("amplitude", _RW, "Noise amplitude, format `amplitude` without its sign bit; 0 turns noise off.", 16),
    Register("seed_low", _RW, "Seed of the noise, bits 0 to 31."),
    Register("seed_high", _RW, "Seed of the noise, bits 32 to 63."),
    Register("limit", _RW, "Clock cycles after which a RUN is given up; 0: never."),
    Register("sampled", _RW, "Mode sample: number of the clamped module that is sampled.", 5),
    Register("schedule_rows", _RW, "Mode sample: rows of the schedule in use, 2 to 128.", 8),
    Register("first_sample", _RW, "Mode sample: number of the first sample, for the noise.", 16),
    Register("warm", _RW, "Mode sample: whether a free phase begins from the states of the one before, not from 0.", 1),
    Register("cycles", _RO, "Clock cycles of the last RUN."),
    Register("relax_cycles", _RO, "Of these, cycles within relaxation steps."),
    Register("relax_steps", _RO, "Relaxation steps of the last RUN, one for all contexts at once."),
    Register("residual_low", _RO, "Sum over free neurons and samples of |F| in the last free step, in state steps."),
    Register("residual_high", _RO, "Its bits 32 to 47."),
    Register("state_saturations", _RO, "Times a neuron met its rail in the last RUN."),
    Register("bus_saturations", _RO, "Times a bus or drive met the end of its range in the last RUN."),
    Register("force_saturations", _RO, "Times a slope or nudge met the end of its range in the last RUN."),
    Register("runs", _RO, "RUNs executed since reset."),
    Register("frames", _RO, "Good frames received since reset."),
    Register("crc_errors", _RO, "Frames dropped for their CRC since reset."),
    Register("framing_errors", _RO, "Frames dropped since reset for COBS, or for being too short or too long."),
    Register("replays", _RO, "Requests recognised as repeated since reset."),
)

RULE: tuple[Register, ...] = (
    Register("learn", _RW, "1: the next RUN ends with an update of all parameters. Cleared when a RUN starts.", 1),
    Register("momentum", _RW, "k: an update leaves v - (v >> k) of each contrast sum v to the next; 0 leaves 0.", 3),
    Register("weight_shift", _RW, "Bits that 256 times a weight's contrast sum is shifted by before it is clipped.", 5),
    Register("gain_shift", _RW, "The same for gains.", 5),
    Register("bias_shift", _RW, "The same for biases.", 5),
    Register("gain_rate", _RW, "Rate of gains.", 15),
    Register("bias_rate", _RW, "Rate of biases.", 15),
    Register("decay", _RW, "Share of each weight that an update takes away, in steps of 2**-20.", 15),
)
"""Rows of the ``rule`` space: how an update changes the parameters (``docs/arithmetic.md``, Update)."""

UPDATE_COUNTERS: tuple[Register, ...] = (
    Register("updates", _RO, "Updates since reset."),
    Register("parameter_clips", _RO, "Parameters that met the end of their range in the last update."),
    Register(
        "step_clips", _RO, "Parameters that took a full step in the last update: contrast sums that were clipped."
    ),
    Register("momentum_clips", _RO, "Contrast sums that were bounded in the last update before they were left."),
)
"""Rows of the ``updates`` space."""


@dataclass(frozen=True, slots=True)
class Space:
    """A memory that READ and WRITE reach.

    Attributes
    ----------
    code
        Its number in requests.
    size
        Bytes of a word: 2 or 4. Words are signed unless the doc says otherwise.
    across
        Words of a row: a number, or the name of a :class:`Geometry` field.
    depth
        Rows: the names of Geometry fields to be multiplied, or a number.
    feature
        What a device must have to have this space; None for any.
    """

    name: str
    code: int
    size: int
    across: int | str
    depth: tuple[int | str, ...]
    access: Access
    doc: str
    feature: Feature | None = None

    def words(self, geometry: Geometry) -> int:
        """Words of a row."""
        return self.across if isinstance(self.across, int) else int(getattr(geometry, self.across))

    def rows(self, geometry: Geometry) -> int:
        """Number of rows."""
        rows = 1
        for factor in self.depth:
            rows *= factor if isinstance(factor, int) else int(getattr(geometry, factor))
        return rows

    def row_bytes(self, geometry: Geometry) -> int:
        """Bytes of a row."""
        return self.size * self.words(geometry)


SPACES: dict[str, Space] = {
    space.name: space
    for space in (
        Space("registers", 0, 4, 1, (len(REGISTERS),), _RW, 
              "The registers, unsigned. Writes to read-only ones do nothing."),
        Space("modules", 1, 4, 2, ("modules",), _RW,
              "Module table. Word 0: first neuron (bits 0-15), neurons (16-31). "
              "Word 1: first end (0-15), ends (16-29), clamped (30), output (31)."),
        Space("ends", 2, 4, 1, ("ends",), _RW,
              "Table of coupling ends, sorted by module. First weight row (bits 0-15), channel group (16-29), "
              "side (30: 0 is a, 1 is b), whether the module at the other end is clamped (31)."),
        Space("sites", 3, 4, 1, ("neurons",), _RW, "Stiffness (bits 0-15) and quartic (16-31) of each neuron."),
        Space("weights", 4, 2, "lanes", ("rows",), _RW, "U and V: a row for each neuron at each coupling end."),
        Space("gains", 5, 2, "lanes", ("levels", "groups"), _RW, "Gains; row = level * geometry.groups + group."),
        Space("biases", 6, 2, 1, ("levels", "neurons"), _RW, "Biases; row = level * geometry.neurons + neuron."),
        Space("samples", 7, 2, 1, ("sample_words",), _RW,
              "Sample buffer: for each sample its level, clamped states in module order and, "
              "unless mode is free, targets. In mode sample the clamped states alone, without those that are sampled."),
        Space("outputs", 8, 2, 1, ("output_words",), _RO,
              "Output module's states at the end of the free phase, sample after sample; in mode sample, the samples."),
        Space("weight_contrast", 9, 4, "lanes", ("rows",), _RO, "Contrast sums of the weights."),
        Space("gain_contrast", 10, 4, "lanes", ("levels", "groups"), _RO,
              "Contrast sums of the gains, before division."),
        Space("bias_contrast", 11, 4, 1, ("levels", "neurons"), _RO, "Contrast sums of the biases."),
        Space("states", 12, 4, "contexts", ("neurons",), _RO, "Stored states of each context."),
        Space("free_states", 13, 4, "contexts", ("neurons",), _RO, "Stored states at the end of the last free phase."),
        Space("schedule", 14, 4, 5, ("schedule_rows",), _RW,
              "Rows of the reverse process: noise level, then, in format `factor`, the factors of a sampled neuron's "
              "state, of the output's, of the state before, and of the noise."),
        Space("fine_weights", 15, 4, "lanes", ("rows",), _RW,
              "Weights with their guard bits, 18 bits, unsigned: `weights` are their upper 16.", Feature.LEARN),
        Space("fine_gains", 16, 4, "lanes", ("levels", "groups"), _RW, "Gains with theirs.", Feature.LEARN),
        Space("fine_biases", 17, 4, 1, ("levels", "neurons"), _RW, "Biases with theirs.", Feature.LEARN),
        Space("weight_momentum", 18, 4, "lanes", ("rows",), _RW,
              "The words of `weight_contrast`: what an update leaves to the next.", Feature.LEARN),
        Space("gain_momentum", 19, 4, "lanes", ("levels", "groups"), _RW, "Those of `gain_contrast`.", Feature.LEARN),
        Space("bias_momentum", 20, 4, 1, ("levels", "neurons"), _RW, "Those of `bias_contrast`.", Feature.LEARN),
        Space("rule", 21, 4, 1, (len(RULE),), _RW, "Registers of the update, unsigned.", Feature.LEARN),
        Space("rates", 22, 4, 1, ("modules",), _RW,
              "Rate of the weights at each module's ends: the row after its last in weight memory (bits 0-16), "
              "rate (17-31).", Feature.LEARN),
        Space("updates", 23, 4, 1, (len(UPDATE_COUNTERS),), _RO, "Counters of updates, unsigned.", Feature.LEARN),
    )
}  # fmt: skip


def table_masks(geometry: Geometry) -> dict[str, tuple[int, ...]]:
    """Bits that the words of a space have, where these are not all: of modules and ends, as many as the sizes ask for.

    All others read as 0.
    """
    neurons, ends = _mask(geometry.neurons), _mask(geometry.ends)
    return {
        **dict.fromkeys(("fine_weights", "fine_gains", "fine_biases"), (_mask(2**18 - 1),)),
        "modules": (_mask(geometry.neurons - 1) | neurons << 16, ends | ends << 16 | 0b11 << 30),
        "ends": (_mask(geometry.rows - 1) | _mask(geometry.groups - 1) << 16 | 0b11 << 30,),
        "schedule": ((1 << FORMATS.factor.width) - 1,) * 5,
    }


def _mask(largest: int) -> int:
    return (1 << largest.bit_length()) - 1


def _map_hash() -> bytes:
    tables = (REGISTERS, RULE, UPDATE_COUNTERS, tuple(SPACES.values()))
    text = repr((HEADER.format, READ_REQUEST.format, WRITE_REQUEST.format, *tables))
    text += repr([(kind.__name__, [(m.name, m.value) for m in kind]) for kind in (Operation, Status, Mode, Feature)])
    return hashlib.sha256(text.encode()).digest()[:8]


MAP_HASH = _map_hash()
"""Hash of everything above: 8 bytes."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Answer to HELLO: what the device is.

    Attributes
    ----------
    build
        Build id, 8 bytes: a hash of the gateware sources, geometry and tool versions.
    board
        Board id, 8 bytes: which one of several like boards.
    clock
        Clock frequency in Hz.
    buffer
        Bytes that the device can take in while it is busy: a host never has more unanswered.
    geometry, formats
        Sizes and number formats.
    features
        What it has of what not every device has.
    """

    build: bytes
    board: bytes
    clock: int
    buffer: int
    geometry: Geometry
    formats: Formats = FORMATS
    features: Feature = Feature.THERMAL | Feature.GUARD | Feature.SAMPLE | Feature.LEARN
    version: int = VERSION
    oldest: int = OLDEST
    map_hash: bytes = MAP_HASH

    def pack(self) -> bytes:
        """The answer's payload."""
        head = struct.pack(
            "<BB8s8s8sII", self.version, self.oldest, self.map_hash, self.build, self.board, self.clock, self.buffer
        )
        sizes = [size for _, size in self.geometry.words()]
        formats = [number for _, fixed in self.formats.pairs() for number in (fixed.width, fixed.fraction)]
        tail = bytes([len(formats), *formats, self.features])
        return head + struct.pack(f"<B{len(sizes)}I", len(sizes), *sizes) + tail

    @classmethod
    def unpack(cls, payload: bytes) -> Hello:
        """Read an answer. Look at ``version`` and ``map_hash`` first: a foreign map may not unpack.

        Raises
        ------
        ValueError
            If the payload has another length than this version's, or numbers out of range.
        """
        head = struct.Struct("<BB8s8s8sII")
        names = [name for name, _ in Geometry().words()]
        kinds = [name for name, _ in FORMATS.pairs()]
        length = head.size + 1 + 4 * len(names) + 1 + 2 * len(kinds) + 1
        if len(payload) != length:
            raise ValueError(f"HELLO must have {length} bytes, not {len(payload)}")
        version, oldest, map_hash, build, board, clock, buffer = head.unpack_from(payload)
        sizes = struct.unpack_from(f"<{len(names)}I", payload, head.size + 1)
        *numbers, features = payload[head.size + 2 + 4 * len(names) :]
        geometry = Geometry(**dict(zip(names, sizes, strict=True)))
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        formats = Formats(**{name: Fixed(*pair) for name, pair in zip(kinds, pairs, strict=True)})
        return cls(build, board, clock, buffer, geometry, formats, Feature(features), version, oldest, map_hash)
