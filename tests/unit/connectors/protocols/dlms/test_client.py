"""What a head-end reads: clock, registers, profiles, from gurux' server and from scripted answers."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from gurux_dlms import GXDateTime
from gurux_dlms.enums import DataType, Unit

from connectors.protocols.dlms.association import PROPOSED, Associated, Association, Conformance, associate, release
from connectors.protocols.dlms.client import (
    ScalerUnit,
    Span,
    discover,
    entries_in_use,
    read_clock,
    read_profile,
    read_registers,
)
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.get import Attribute, ByEntry, datetime_octets
from connectors.protocols.dlms.profile_shape import Column, ProfileShape, Rules
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, Profile, clock, data, drive, profile, register

OSLO = ZoneInfo("Europe/Oslo")
QUARTER = 900_000
DAY = 1668121200000  # 2022-11-11T00:00+01:00
LOAD = "1.0.99.1.0.255"
IMPORT, EXPORT = "1.0.1.8.0.255", "1.0.2.8.0.255"
SHAPE = ProfileShape(
    LOAD,
    (
        Column(8, "0.0.1.0.0.255", 2),
        Column(1, "0.0.96.10.2.255", 2),
        Column(3, IMPORT, 2, 0, -1, "Wh"),
        Column(3, EXPORT, 2, 0, 0, "Wh"),
        Column(3, "1.0.3.8.0.255", 2, 0, 2, "varh"),
        Column(3, "1.0.4.8.0.255", 2, 0, 0, "varh"),
    ),
    900,
)


class Meter(GuruxMeter):
    """96 rows by 4 channels: import 1,000,000 + 250 i, export 7 i, reactive 3 i and 5 i; status 1 at row 40."""

    def __init__(self) -> None:
        time = clock(GXDateTime(datetime(2022, 11, 12, 16, 54, 30, tzinfo=UTC)))
        status = data("0.0.96.10.2.255", 0, DataType.UINT8)
        channels = [
            register(IMPORT, 123456, 0.1, Unit.ACTIVE_ENERGY),
            register(EXPORT, 42, 1, Unit.ACTIVE_ENERGY),
            register("1.0.3.8.0.255", 3, 100, Unit.REACTIVE_ENERGY),
            register("1.0.4.8.0.255", 5, 1, Unit.REACTIVE_ENERGY),
        ]
        rows = []
        for i in range(96):
            at = datetime_octets(DAY + (i + 1) * QUARTER, OSLO)
            held = b"".join(b"\x06" + n.to_bytes(4, "big") for n in (1_000_000 + 250 * i, 7 * i, 3 * i, 5 * i))
            rows.append((at, b"\x02\x06\x09\x0c" + at + bytes((0x11, i == 40)) + held))
        self.load: Profile = profile(LOAD, [(item, 2) for item in (time, status, *channels)], rows)
        serial = data("0.0.96.1.0.255", b"KFM100000042", DataType.OCTET_STRING)
        super().__init__([time, status, *channels, serial, self.load], denied=["1.0.9.8.0.255"])


@pytest.fixture
def meter() -> Meter:
    return Meter()


def open_link(meter: GuruxMeter, size: int = 0xFFFF) -> Associated:
    return drive(associate(Association(max_receive_pdu=size)), meter.exchange)


def test_clock(meter: Meter) -> None:
    time = drive(read_clock(open_link(meter)), meter.exchange)
    assert time is not None
    assert (time.iso, time.utc_ms) == ("2022-11-12T16:54:30+00:00", 1668272070000)


@pytest.mark.parametrize(
    ("answer", "iso"),
    [
        pytest.param("09 0C 07 E6 0B 0C FF 10 36 00 FF FF C4 00", "2022-11-12T16:54:00+01:00", id="octet-string"),
        pytest.param("19 07 E6 0B 0C FF 10 36 00 FF 80 00 FF", "2022-11-12T16:54:00", id="date-time-without-deviation"),
        pytest.param("09 0C FF FF FF FF FF FF FF FF FF 80 00 FF", None, id="unspecified"),
        pytest.param(
            "09 0C 07 EA 0B 17 01 17 0F 06 00 00 00 00 09 0F 09 0C 07 EA 0B 17 01 17 0F 06 00 00 00 00 09 0F",
            "2026-11-23T23:15:06+00:00",
            id="gurux-in-c-says-it-twice",
        ),
    ],
)
def test_clock_of_other_meters(answer: str, iso: str | None) -> None:
    time = drive(read_clock(Associated(PROPOSED, 0)), lambda _: bytes.fromhex("C4 01 C1 00 " + answer))
    assert (time and time.iso) == iso


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param("06 00 00 00 05", "dlms-time", id="a-number"),
        pytest.param("09 0C 07 E6 0D 0C FF 10 36 00 FF FF C4 00", "dlms-time", id="13th-month"),
        pytest.param("09 0C 07 E6", "dlms-truncated", id="cut-short"),
        pytest.param("02 01 00 00", "dlms-axdr", id="octets-after-a-structure"),
    ],
)
def test_clock_refused(answer: str, code: str) -> None:
    with pytest.raises(DecodeError) as raised:
        drive(read_clock(Associated(PROPOSED, 0)), lambda _: bytes.fromhex("C4 01 C1 00 " + answer))
    assert raised.value.code == code


def attributes(*texts: str) -> list[Attribute]:
    return [Attribute.parse(text) for text in texts]


def test_registers(meter: Meter) -> None:
    wanted = attributes(f"3/{IMPORT}/2", f"3/{EXPORT}/2", "1/0.0.96.1.0.255/2", "3/1.0.99.8.0.255/2", "8/0.0.1.0.0.255/2")
    found = drive(read_registers(open_link(meter), wanted), meter.exchange)
    assert [reading.attribute for reading in found] == wanted
    assert [(r.value, r.scaler, r.unit) for r in found] == [
        (123456, -1, "Wh"),
        (42, 0, "Wh"),
        ("KFM100000042", None, ""),
        (None, None, ""),
        ("2022-11-12T16:54:30+00:00", None, ""),
    ]
    assert found[2].octets == b"KFM100000042"
    assert found[3].refusal is not None
    assert "object-undefined" in found[3].refusal.detail


def test_known_scaler_units_are_not_read_again(meter: Meter) -> None:
    link = open_link(meter)
    wanted = attributes(f"3/{IMPORT}/2", f"3/{EXPORT}/2")
    found = drive(
        read_registers(link, wanted, {wanted[0]: ScalerUnit(2, "kWh"), wanted[1]: ScalerUnit(0, "Wh")}), meter.exchange
    )
    assert [(r.value, r.scaler, r.unit) for r in found] == [(123456, 2, "kWh"), (42, 0, "Wh")]
    assert len(meter.requests) == 2


def test_demand_register_has_its_scaler_unit_elsewhere() -> None:
    requests = []

    def exchange(apdu: bytes) -> bytes:
        requests.append(apdu.hex().upper())
        return bytes.fromhex("C4 03 C1 03 00 12 00 07 00 12 00 09 00 02 02 0F FE 16 1B")

    found = drive(read_registers(Associated(PROPOSED, 0), attributes("5/1.0.1.4.0.255/2", "5/1.0.1.4.0.255/3")), exchange)
    assert [(r.value, r.scaler, r.unit) for r in found] == [(7, -2, "W"), (9, -2, "W")]
    assert requests[0].endswith("0005" + "0100010400FF" + "04" + "00")


@pytest.mark.parametrize("size", [0xFFFF, 1000, 64], ids=lambda n: f"pdu-{n}")
def test_a_day_of_load_profile(meter: Meter, size: int) -> None:
    link = open_link(meter, size)
    found, shape = drive(read_profile(link, LOAD, Span(DAY + QUARTER, DAY + 96 * QUARTER), Rules(OSLO)), meter.exchange)
    assert shape == SHAPE
    assert found.regular
    assert found.ends.tolist() == [DAY + (i + 1) * QUARTER for i in range(96)]
    expected = [[1_000_000 + 250 * i, 7 * i, 3 * i, 5 * i] for i in range(96)]
    assert np.array([c.values for c in found.channels]).T.tolist() == expected
    assert found.statuses is not None
    assert np.flatnonzero(found.statuses).tolist() == [40]
    drive(release(), meter.exchange)


def test_a_known_shape_needs_one_request(meter: Meter) -> None:
    link = open_link(meter)
    found, _ = drive(read_profile(link, SHAPE, Span(DAY + 10 * QUARTER, DAY + 12 * QUARTER), Rules(OSLO)), meter.exchange)
    assert found.channels[1].values.tolist() == [63, 70, 77]  # type: ignore[union-attr]  # integers are an array
    drive(release(), meter.exchange)
    assert [request[0] for request in meter.requests] == [0x60, 0xC0, 0x62]
    selector, (restricting, *_) = meter.load.selected[0]
    assert selector == 1
    assert restricting == [8, bytearray(b"\0\0\1\0\0\xff"), 2, 0]


def test_by_entry(meter: Meter) -> None:
    link = open_link(meter)
    count = drive(entries_in_use(link, LOAD), meter.exchange)
    assert isinstance(count, int)
    found, _ = drive(read_profile(link, SHAPE, ByEntry(95, 96)), meter.exchange)
    assert found.channels[1].values.tolist() == [658, 665]  # type: ignore[union-attr]  # integers are an array


def test_without_selective_access_the_whole_is_read_and_cut(meter: Meter) -> None:
    link = open_link(meter)
    link.conformance &= ~Conformance.SELECTIVE_ACCESS
    found, _ = drive(read_profile(link, SHAPE, Span(DAY + 10 * QUARTER, DAY + 12 * QUARTER), Rules(OSLO)), meter.exchange)
    assert found.ends.tolist() == [DAY + i * QUARTER for i in (10, 11, 12)]
    assert not meter.load.selected


def test_a_profile_that_is_not_there(meter: Meter) -> None:
    with pytest.raises(PeerError, match=r"7/1\.0\.99\.2\.0\.255/3: data-access-result 4"):
        drive(discover(open_link(meter), "1.0.99.2.0.255"), meter.exchange)


def test_a_shape_that_is_out_of_date(meter: Meter) -> None:
    old = ProfileShape(LOAD, SHAPE.columns[:4], 900)
    with pytest.raises(DecodeError, match="discover the shape again") as raised:
        drive(read_profile(open_link(meter), old, None, Rules(OSLO)), meter.exchange)
    assert raised.value.code == "profile-shape"


@pytest.mark.parametrize(
    "objects",
    [
        pytest.param("01 01 02 03 12 00 08 09 06 00 00 01 00 00 FF 0F 02", id="three-fields"),
        pytest.param("01 01 02 04 12 00 08 09 05 00 00 01 00 00 0F 02 12 00 00", id="obis-of-five"),
        pytest.param("01 01 11 05", id="a-number"),
        pytest.param("11 05", id="no-array"),
        pytest.param("01 81 80 " + "00 " * 128, id="too-many"),
    ],
)
def test_capture_objects_refused(objects: str) -> None:
    answer = bytes.fromhex("C4 03 C1 03 00 " + objects + " 00 06 00 00 03 84 00 16 01")
    with pytest.raises(DecodeError) as raised:
        drive(discover(Associated(PROPOSED, 0), LOAD), lambda _: answer)
    assert raised.value.code == "profile-shape"
