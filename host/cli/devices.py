"""``equipoise devices``."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from .options import Debug, Json, show_json

__all__ = ["devices"]

_FAULTY = "a device with a wire, behind a bad one"


def devices(as_json: Json = False, debug: Debug = False) -> None:
    """List the devices that can be trained from this machine, by the address for --device.

    [bold]Example[/bold]

      equipoise devices
    """
    from ...drivers.address import FAULT_FORM
    from ..devices import SCHEMES, list_devices

    found = list_devices()
    if as_json:
        show_json({
            "devices": [{"address": device.address, "summary": device.summary} for device in found],
            "forms": {**{scheme.form: scheme.summary for scheme in SCHEMES.values()}, FAULT_FORM: _FAULTY},
        })  # fmt: skip
        return
    table = Table("address", "what it is", box=None, pad_edge=False)
    for device in found:
        table.add_row(device.address, device.summary)
    Console(highlight=False).print(table)
    typer.echo("\nForms of an address:")
    for scheme in SCHEMES.values():
        typer.echo(f"  {scheme.form}  ({scheme.summary})")
    typer.echo(f"  {FAULT_FORM}  ({_FAULTY})")
