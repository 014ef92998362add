"""Documents of the register map: those in ``docs`` are what the definition makes, and carry all of it."""

import csv
import io
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import equipoise
from equipoise.drivers.document import DOCUMENTS, registers_csv, registers_markdown, registers_svd, write_documents
from equipoise.substrate.geometry import Geometry
from equipoise.substrate.protocol import REGISTERS, SPACES, Hello, Mode, Operation, Status

DOCS = Path(equipoise.__file__).parent / "docs"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_committed_file_is_what_the_definition_makes(name, tmp_path):
    write_documents(tmp_path)
    made = (tmp_path / name).read_text()
    assert (DOCS / name).read_text() == made, "run: python -m equipoise.drivers.document"


def test_every_member_is_explained():
    rows = [row for row in csv.DictReader(io.StringIO(registers_csv())) if not row["what"]]
    assert rows == []
    names = {row["name"] for row in csv.DictReader(io.StringIO(registers_csv()))}
    members = [member.name for kind in (Operation, Status, Mode) for member in kind]
    assert names >= {*members, *SPACES, *(register.name for register in REGISTERS)}


def test_the_table_of_hello_has_the_length_of_hello():
    page = registers_markdown().partition("## Answer to HELLO")[2].partition("##")[0]
    last = max(int(number) for number in re.findall(r"^\| (?:\d+ to )?(\d+) \|", page, re.MULTILINE))
    assert last + 1 == len(Hello(bytes(8), bytes(8), 1, 1, Geometry()).pack())


def test_every_row_of_a_table_has_as_many_cells_as_its_head():
    for table in re.findall(r"(?:^\|.*\n)+", registers_markdown(), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1, table


def test_the_svd_has_every_register_and_space_at_its_place():
    device = ET.fromstring(registers_svd())
    peripherals = {item.findtext("name").lower(): item for item in device.iter("peripheral")}
    assert {name: int(item.findtext("baseAddress"), 16) >> 24 for name, item in peripherals.items()} == {
        name: space.code for name, space in SPACES.items()
    }
    registers = [
        (item.findtext("name"), int(item.findtext("addressOffset"), 16), int(item.findtext("fields/field/bitWidth")))
        for item in peripherals["registers"].iter("register")
    ]
    assert registers == [(register.name, 4 * row, register.width) for row, register in enumerate(REGISTERS)]
    (weights,) = peripherals["weights"].iter("register")
    assert (weights.findtext("dim"), weights.findtext("dimIncrement")) == (str(8192 * 8), "2")
