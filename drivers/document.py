"""Register map and operations as documents, made from the one definition: ``python -m equipoise.drivers.document``.

Writes ``registers.md``, ``registers.svd`` and ``registers.csv`` to the folder given, ``docs`` by default.
"""

from __future__ import annotations

import ast
import csv
import inspect
import io
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from enum import IntEnum
from pathlib import Path

from ..substrate.formats import FORMATS
from ..substrate.geometry import Geometry
from ..substrate.protocol import (
    HEADER,
    MAP_HASH,
    MAX_PAYLOAD,
    OLDEST,
    READ_REQUEST,
    REGISTERS,
    SPACES,
    VERSION,
    WRITE_REQUEST,
    Access,
    Feature,
    Mode,
    Operation,
    Space,
    Status,
)

__all__ = ["DOCUMENTS", "registers_csv", "registers_markdown", "registers_svd", "write_documents"]

_ACCESS = {Access.READ_ONLY: "read", Access.READ_WRITE: "read, write"}
_COMMAND = "python -m equipoise.drivers.document"


def registers_markdown() -> str:
    """The page ``registers.md``."""
    registers = (
        (row, f"`{register.name}`", _ACCESS[register.access], register.width, register.doc)
        for row, register in enumerate(REGISTERS)
    )
    spaces = (
        (space.code, f"`{name}`", space.size, space.across, _depth(space), _ACCESS[space.access], space.doc)
        for name, space in SPACES.items()
    )
    formats = (
        (f"`{name}`", str(fixed), fixed.width, fixed.fraction, f"{fixed.limit:.9g}", f"{fixed.lsb:.9g}")
        for name, fixed in FORMATS.pairs()
    )
    return "\n".join([
        "# Register map and operations",
        "",
        f"Made by `{_COMMAND}` from `substrate/protocol.py`; do not edit. What the operations mean is in",
        "[link.md](link.md), what the tables mean in [gateware.md](gateware.md). The same in machine-readable form:",
        "[registers.svd](registers.svd) (CMSIS-SVD) and [registers.csv](registers.csv).",
        "",
        f"Protocol version {VERSION} (oldest served: {OLDEST}), hash of the map `{MAP_HASH.hex()}`. All numbers are",
        f"little endian. A frame has a header of {HEADER.size} bytes (`{HEADER.format}`: version, operation, sequence,",
        f"status), a payload of at most {MAX_PAYLOAD} bytes in requests, and a CRC-32 of 4 bytes.",
        "",
        *_section("Operations", ("code", "name", "payload and answer"), _members(Operation)),
        f"`READ_REQUEST` is `{READ_REQUEST.format}`, `WRITE_REQUEST` is `{WRITE_REQUEST.format}`.",
        "",
        *_section("Statuses", ("code", "name", "meaning"), _members(Status)),
        *_section("Answer to HELLO", ("bytes", "what"), _hello()),
        *_section("Spaces", ("code", "name", "bytes of a word", "words of a row", "rows", "host may", "what"), spaces),
        "Names in the columns of sizes are those of the geometry, which HELLO carries.",
        "",
        *_section("Registers", ("row", "name", "host may", "bits", "what"), registers),
        *_section("Modes", ("value", "name", "meaning"), _members(Mode)),
        *_section("Number formats", ("name", "format", "width", "fraction", "largest value", "step"), formats),
    ])  # fmt: skip


def registers_csv() -> str:
    """The table ``registers.csv``: operations, statuses, modes, spaces and registers, one to a line."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("kind", "code", "name", "access", "bits", "words of a row", "rows", "what"))
    for kind in (Operation, Status, Mode):
        for code, name, meaning in _members(kind):
            table.writerow((kind.__name__.lower(), code, name.strip("`"), "", "", "", "", meaning))
    for name, space in SPACES.items():
        access, bits = _ACCESS[space.access], 8 * space.size
        table.writerow(("space", space.code, name, access, bits, space.across, _depth(space), space.doc))
    for row, register in enumerate(REGISTERS):
        access = _ACCESS[register.access]
        table.writerow(("register", row, register.name, access, register.width, 1, 1, register.doc))
    return text.getvalue()


def registers_svd() -> str:
    """The description ``registers.svd``. Where a size depends on the geometry, that of a default one is given."""
    device = ET.Element("device", schemaVersion="1.3")
    version = f"{VERSION}.{MAP_HASH.hex()}"
    about = (
        "Equipoise gateware. The spaces are reached over the link, by READ and WRITE of rows. Here a space begins at "
        "its code * 2**24, and its words follow row by row. Sizes are those of the default geometry."
    )
    _fields(device, name="Equipoise", version=version, description=about, addressUnitBits=8, width=32)
    _fields(device, size=32, access="read-write", resetValue=0, resetMask=0)
    peripherals = ET.SubElement(device, "peripherals")
    for name, space in SPACES.items():
        peripheral = ET.SubElement(peripherals, "peripheral")
        size = space.rows(Geometry()) * space.row_bytes(Geometry())
        _fields(peripheral, name=name.upper(), description=space.doc, baseAddress=f"{space.code << 24:#010x}")
        _fields(ET.SubElement(peripheral, "addressBlock"), offset=0, size=f"{size:#x}", usage="registers")
        registers = ET.SubElement(peripheral, "registers")
        if name == "registers":
            for row, register in enumerate(REGISTERS):
                _register(registers, register.name, register.doc, 4 * row, 32, register.access, register.width)
        else:
            element = ET.SubElement(registers, "register")
            words = space.rows(Geometry()) * space.words(Geometry())
            _fields(element, dim=words, dimIncrement=space.size)
            _describe(element, f"{name}[%s]", space.doc, 0, 8 * space.size, space.access)
    ET.indent(device)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(device, encoding="unicode") + "\n"


DOCUMENTS = {
    "registers.md": registers_markdown,
    "registers.svd": registers_svd,
    "registers.csv": registers_csv,
}
"""What makes each file."""


def write_documents(folder: Path) -> None:
    """Write all documents to ``folder``."""
    for name, make in DOCUMENTS.items():
        (folder / name).write_text(make(), encoding="utf-8")


def _section(title: str, columns: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    lines = [f"## {title}", "", _row(columns), _row(("---",) * len(columns))]
    return [*lines, *(_row(row) for row in rows), ""]


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def _depth(space: Space) -> str:
    return " * ".join(str(factor) for factor in space.depth)


def _members(kind: type[IntEnum]) -> Iterator[tuple[int, str, str]]:
    """Value, name and docstring of each member: the string that follows it in the source, if there is one."""
    (body,) = (node.body for node in ast.parse(inspect.getsource(kind)).body if isinstance(node, ast.ClassDef))
    for place, node in enumerate(body):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            after = body[place + 1] if place + 1 < len(body) else None
            told = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            plain = " ".join(str(told).replace(":class:`", "`").replace("``", "`").split())
            yield kind[name].value, f"`{name}`", plain


def _hello() -> Iterator[tuple[str, str]]:
    """Layout of the answer to HELLO, as ``Hello.pack`` makes it."""
    sizes = ", ".join(name for name, _ in Geometry().words())
    formats = ", ".join(name for name, _ in FORMATS.pairs())
    start = 0
    for size, what in (
        (1, "protocol version"),
        (1, "oldest version served"),
        (8, "hash of the map"),
        (8, "build id"),
        (8, "board id"),
        (4, "clock frequency in Hz"),
        (4, "bytes that the device takes in while it is busy"),
        (1, "number of sizes that follow"),
        (4 * len(Geometry().words()), f"geometry, 4 bytes each: {sizes}"),
        (1, "number of bytes that follow"),
        (2 * len(FORMATS.pairs()), f"width and fraction of each number format, a byte each: {formats}"),
        (1, "features that it has: " + ", ".join(f"{feature.value} {feature.name}" for feature in Feature)),
    ):
        yield (str(start) if size == 1 else f"{start} to {start + size - 1}"), what
        start += size


def _fields(parent: ET.Element, **values: object) -> None:
    for name, value in values.items():
        ET.SubElement(parent, name).text = str(value)


def _describe(element: ET.Element, name: str, doc: str, offset: int, size: int, access: Access) -> None:
    told = "read-write" if access is Access.READ_WRITE else "read-only"
    _fields(element, name=name, description=doc, addressOffset=f"{offset:#x}", size=size, access=told)


def _register(parent: ET.Element, name: str, doc: str, offset: int, size: int, access: Access, width: int) -> None:
    element = ET.SubElement(parent, "register")
    _describe(element, name, doc, offset, size, access)
    field = ET.SubElement(ET.SubElement(element, "fields"), "field")
    _fields(field, name=name, bitOffset=0, bitWidth=width)


if __name__ == "__main__":
    write_documents(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
