"""Every device by its address."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from equipoise.host import devices
from equipoise.host.devices import ListedDevice, list_devices, open_device
from equipoise.substrate.errors import DeviceError


@pytest.mark.parametrize("kind", ["golden", "float"])
def test_models_open(kind):
    with open_device(f"{kind}:") as device:
        assert device.identity.kind == kind
        assert device.identity.address == f"{kind}:"


def test_options_reach_the_simulation(monkeypatch):
    calls = []
    monkeypatch.setattr("equipoise.sim.device.open_board", lambda **options: calls.append(options))
    open_device("sim:")
    open_device("sim:?lanes=4&contexts=2&trace=waves.vcd")
    assert calls == [{}, {"lanes": 4, "contexts": 2, "trace": Path("waves.vcd")}]


def test_an_unknown_scheme():
    with pytest.raises(DeviceError) as raised:
        open_device("gpib:3")
    assert str(raised.value) == (
        "Device address 'gpib:3' must begin with one of sim:, golden:, float:, spice:, serial:, tcp:, visa:, lucidac:"
    )


def test_lists_what_needs_no_cable_and_the_serial_ports(monkeypatch):
    ports = [SimpleNamespace(device="/dev/ttyUSB0", description="FT2232H - UART")]
    monkeypatch.setattr(devices, "comports", lambda: ports)
    listed = list_devices()
    assert [device.address for device in listed] == ["sim:", "golden:", "float:", "spice:", "serial:/dev/ttyUSB0"]
    assert listed[0] == ListedDevice("sim:", "the gateware itself, simulated in Verilator")
    assert listed[-1].summary == "FT2232H - UART"


def test_serial_ports_go_by_their_stable_names(monkeypatch, tmp_path):
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (tmp_path / "ttyUSB0").touch()
    (by_id / "usb-board").symlink_to("../ttyUSB0")
    monkeypatch.setattr(devices, "BY_ID", by_id)
    monkeypatch.setattr(
        devices, "comports", lambda: [SimpleNamespace(device=str(tmp_path / "ttyUSB0"), description="n/a")]
    )
    assert list_devices()[-1].address == "serial:by-id/usb-board"
