"""What the sequencer tells the datapath: passes, and the beats that stream through one."""

from amaranth.lib import data, enum

from ..substrate.geometry import Geometry

__all__ = ["UPDATE_CYCLES", "Bank", "Beat", "Doing", "Op", "Order", "Phase", "Task"]

UPDATE_CYCLES = 8
"""Cycles from one step of the walk to the next in an update: four products take one multiplier, one after the other."""


class Op(enum.Enum, shape=4):
    """What a pass does with each beat. Constant from the first beat of a pass until its last has left the pipeline."""

    PROJECT = 1
    """Accumulate weight * state on the buses."""
    GAIN = 2
    """Drive = gain * bus."""
    FORCE = 3
    """Sum weight * opposite drive over lanes and ends, then move the neuron."""
    CONTRAST = 4
    """Add state * opposite drive to the weight contrast, summed over contexts."""
    CONTRAST_GAIN = 5
    """Add bus a * bus b of one context to the gain contrast of its level."""
    CONTRAST_BIAS = 6
    """Add the states of one context to the bias contrast of its level."""
    CLEAR = 7
    """Clear the gain and bias contrast of one level."""
    LOAD_LEVEL = 8
    """Take the level of a sample from the sample buffer into one context."""
    LOAD_GAIN = 9
    """Copy the gains of the context's level into the context."""
    LOAD_BIAS = 10
    """Copy the biases of the context's level into the context."""
    LOAD_STATE = 11
    """Take clamped states from the sample buffer into one context."""
    LOAD_TARGET = 12
    """Take targets from the sample buffer into one context."""
    OUTPUT = 13
    """Copy the output module's states of one context to the output buffer; after the last row of a reverse process,
    the sampled module's."""
    UPDATE = 14
    """Take the sampled module's states of one context to the next noise level, one every ``UPDATE_CYCLES`` cycles."""


Doing = data.StructLayout({op.name.lower(): 1 for op in Op})
"""An :class:`Op` with a bit for each, none between passes: what the datapath sees, so that it has nothing to decode."""


class Order(enum.Enum, shape=3):
    """How a pass walks the tables."""

    LINEAR = 0
    """0 to count - 1."""
    NEURONS = 1
    """Modules, their neurons."""
    ENDS = 2
    """Modules, their ends."""
    ENDS_NEURONS = 3
    """Modules, their ends, the neurons of each."""
    NEURONS_ENDS = 4
    """Modules, their neurons, the ends of each."""


class Bank(enum.Enum, shape=2):
    """Where a pass reads free neurons' states from."""

    STATE = 0
    """The current states."""
    FREE = 1
    """The states at the end of the free phase."""
    ZERO = 2
    """Zero: the initial state."""


class Phase(enum.Enum, shape=2):
    """Phase of a training step, or of a reverse process; its value selects the noise stream."""

    FREE = 0
    POSITIVE = 1
    NEGATIVE = 2
    UPDATE = 3
    """Between two free phases of a reverse process."""


class Beat(data.StructLayout):
    """One micro-operation on its way through the pipeline.

    Members
    -------
    valid
        Whether there is one.
    first, last
        Whether it begins or ends an accumulation (over the neurons of an end, or the ends of a neuron).
    empty
        A neuron of a module without ends: it contributes no force, but must be moved.
    output
        Whether the neuron belongs to the output module.
    sampled
        Whether it belongs to the sampled module, in a reverse process.
    neuron, row, group, side
        Addresses: neuron (or plain index), weight row, channel group, side of the end.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "valid": 1,
                "first": 1,
                "last": 1,
                "empty": 1,
                "output": 1,
                "sampled": 1,
                "neuron": (geometry.neurons - 1).bit_length(),
                "row": (geometry.rows - 1).bit_length(),
                "group": (geometry.groups - 1).bit_length(),
                "side": 1,
            }
        )


class Task(data.StructLayout):
    """What a pass asks of a lane.

    Members
    -------
    doing
        What it does.
    level
        Noise level of the context that ``context`` selects (for the passes that serve one context at a time).
    context
        That context, one-hot.
    active
        Contexts that hold a sample.
    negate, fresh
        Sign of the contrast, and whether it replaces what the weight contrast held.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(
            {
                "doing": Doing,
                "level": (geometry.levels - 1).bit_length(),
                "context": geometry.contexts,
                "active": geometry.contexts,
                "negate": 1,
                "fresh": 1,
            }
        )
