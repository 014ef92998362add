"""Errors of Equipoise: one short hierarchy, so that a caller can tell what to do about each.

Every message is one line that names the thing, the value and the remedy.
"""

__all__ = [
    "CalibrationError",
    "CapabilityError",
    "DataError",
    "DeviceError",
    "EquipoiseError",
    "ForgottenError",
    "LinkError",
    "MismatchError",
    "NetworkError",
    "ParameterError",
    "ResetError",
    "RunError",
    "ToolError",
]


class EquipoiseError(Exception):
    """Base of all errors that a user of Equipoise can cause or must act on."""


class NetworkError(EquipoiseError):
    """A network, or the file it came from, is not valid."""


class ParameterError(EquipoiseError):
    """A parameter has the wrong shape, is not finite, or does not fit its number format."""


class DataError(EquipoiseError):
    """A data set, or a minibatch made of it, cannot be used."""


class CalibrationError(EquipoiseError):
    """A calibration record is missing, damaged, or not one to use now on this board."""


class CapabilityError(EquipoiseError):
    """The device cannot do what was asked: too large, or a feature it lacks."""


class DeviceError(EquipoiseError):
    """A device could not be opened, refused a request, or answered nonsense."""


class LinkError(DeviceError):
    """The wire to a device failed for longer than retries could cover."""


class ResetError(LinkError):
    """The device was reset, or lost its power, in the middle of a session: it has forgotten what it was told."""


class ForgottenError(DeviceError):
    """A device that learns may have lost what it had learned, or learned from what was damaged: restore its memory."""


class MismatchError(DeviceError):
    """The device speaks another protocol, register map or build than this host."""


class RunError(EquipoiseError):
    """A run directory or checkpoint cannot be written, read or resumed."""


class ToolError(EquipoiseError):
    """A tool of this machine (compiler, Verilator, perl, ...) is missing or failed."""
