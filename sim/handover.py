"""How a host hands a socket to the bench inside the simulator: what both must know."""

__all__ = ["READY", "SOCKET_VARIABLE"]

SOCKET_VARIABLE = "EQUIPOISE_SOCKET"
"""Environment variable with the number of the socket that the bench inherits."""

READY = b"\0"
"""What the bench sends when it is up, before any byte of the device."""
