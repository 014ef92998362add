"""``equipoise health``."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .options import Debug, Device, Json, show_json

__all__ = ["health"]

_TITLES = {"device": "counted by the device", "host": "counted by this host"}


def health(device: Device = None, as_json: Json = False, debug: Debug = False) -> None:
    """Show how a device and its link are: counters since it was opened and since its reset, and a trial of the link.

    A run keeps the same counters in its metrics, after each evaluation. What a device cannot tell is said, not guessed.

    [bold]Examples[/bold]

      equipoise health --device 'serial:/dev/ttyUSB1?baud=3000000'

      equipoise health --device tcp:lab7:7000 --json

      equipoise health --device 'fault+sim:?flip=0.02&seed=3'
    """
    from ..devices import open_device
    from ..health import check_health

    with open_device(device or "sim:") as opened:
        found = check_health(opened)
    if as_json:
        show_json(found)
        return
    out = Console(highlight=False)
    told = found["device"]
    out.print(escape(f"{told['address']}  ({told['kind']}, board {told['uid']}, build {told['build']})"))
    if found["link"]:
        out.print(f"link: {found['link']['frames']} frames echoed, {found['link']['round_trip_ms']} ms each, median")
    table = Table("counter", box=None, pad_edge=False)
    table.add_column("value", justify="right")
    group = ""
    for name, count in found["counters"].items():
        owner, _, rest = name.partition("_")
        if owner in _TITLES and owner != group:
            group = owner
            table.add_section()
            table.add_row(f"[bold]{_TITLES[owner]}[/]", "")
        table.add_row((rest if owner in _TITLES else name).replace("_", " "), f"{count:.10g}")
    out.print(table)
    if found["unknown"]:
        out.print(f"not known of this device: {', '.join(found['unknown'])}")
