from __future__ import annotations

from typing import Any

import pytest

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.axdr import Array, Enum, Structure, Tagged
from connectors.protocols.dlms.cosem import obis_bytes
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.lists import LISTS
from connectors.protocols.dlms.push import read_plain
from connectors.protocols.dlms.telegram import Telegram, scaled
from connectors.protocols.dlms.template import LAYOUTS, Position, PushTemplate

TIME = bytes.fromhex("07E60B0C0610360000FFC400")
ISO = "2022-11-12T16:54:00+01:00"
LATER = bytes.fromhex("07E60B0C0611360000FFC400")


def s(*items: Any) -> Structure:
    return Structure(items)


def a(*items: Any) -> Array:
    return Array(items)


def o(code: str) -> bytes:
    return obis_bytes(code)


def u(scaler: int, unit: int) -> Structure:
    return s(Tagged(axdr.INT8, scaler), Enum(unit))


def d(class_id: int, code: str, attribute: int = 2, *more: Any) -> Structure:
    return s(Tagged(axdr.UINT16, class_id), o(code), Tagged(axdr.INT8, attribute), *more)


def entry(class_id: int, code: str, attribute: int = 2) -> Structure:
    """An entry of a push object list: with its data index."""
    return d(class_id, code, attribute, Tagged(axdr.UINT16, 0))


def read(body: Any, template: PushTemplate | None = None, header: bytes = b"\0") -> Telegram:
    return read_plain(b"\x0f\0\0\0\1" + header + axdr.encode(body), template=template)


def said(telegram: Telegram) -> list[tuple[Any, ...]]:
    return [(v.obis, v.raw, v.scaler, v.unit) for v in telegram.values]


A, B, V = "1.0.1.8.0.255", "1.0.2.8.0.255", "1.0.32.7.0.255"
SERIAL, NAME, CLOCK = "0.0.96.1.0.255", "0.0.42.0.0.255", "0.0.1.0.0.255"
SETUP = "0.0.25.9.0.255"
PLAIN = [(A, 7, None, None), (B, 8, None, None)]
UNITS = [(A, 7, 0, "Wh"), (V, 2301, -1, "V")]

BODIES = {
    "pairs in structures": (a(s(o(A), 7), s(o(B), 8)), "tagged", PLAIN),
    "pairs in structures, scaler and unit": (a(s(o(A), 7, u(0, 30)), s(o(V), 2301, u(-1, 35))), "tagged-scaler", UNITS),
    "flat": (s(o(A), 7, o(B), 8), "tagged", PLAIN),
    "flat, scaler and unit": (s(o(A), 7, u(0, 30), o(V), 2301, u(-1, 35)), "tagged-scaler", UNITS),
    "flat, some without unit": (
        s(o(SERIAL), b"1KFM", o(V), 2301, u(-1, 35)),
        "tagged-scaler",
        [(SERIAL, "1KFM", None, None), UNITS[1]],
    ),
    "scaler and unit without structure": (s(s(o(A), 7, 0, Enum(30)), s(o(V), 2301, -1, Enum(35))), "tagged-scaler", UNITS),
    "unit before scaler": (s(s(o(A), 7, s(Enum(30), 0)), s(o(V), 2301, s(Enum(35), -1))), "tagged-scaler", UNITS),
    "scaler and unit before the value": (s(s(o(A), u(0, 30), 7), s(o(V), u(-1, 35), 2301)), "tagged-scaler", UNITS),
    "value first, name last": (a(s(7, 3, u(0, 30), o(A)), s(2301, 3, u(-1, 35), o(V))), "descriptors", UNITS),
    "descriptors, then values": (a(s(d(3, A), 7), s(d(3, B), 8)), "descriptors", PLAIN),
    "descriptors with a data index": (a(s(entry(3, A), 7), s(entry(3, B), 8)), "descriptors", PLAIN),
    "descriptors, flat": (s(d(3, A), 7, d(3, B), 8), "descriptors", PLAIN),
    "descriptors, flat, scaler and unit": (s(d(3, A), 7, u(0, 30), d(3, V), 2301, u(-1, 35)), "descriptors", UNITS),
    "class, name, attribute, value": (a(d(3, A, 2, 7), d(3, B, 2, 8)), "descriptors", PLAIN),
    "class, name, attribute, index, value": (a(d(3, A, 2, 0, 7), d(3, B, 2, 0, 8)), "descriptors", PLAIN),
    "class, name, attribute, value, unit": (a(d(3, A, 2, 7, u(0, 30)), d(3, V, 2, 2301, u(-1, 35))), "descriptors", UNITS),
    "class, name, attribute, value, all flat": (s(3, o(A), 2, 7, 3, o(B), 2, 8), "descriptors", PLAIN),
    "nested deeper": (s(Enum(1), a(s(a(s(o(A), 7)), s(s(o(B), 8))))), "tagged", PLAIN),
    "time first, no name": (s(TIME, o(A), 7, o(B), 8), "tagged", PLAIN),
    "list name first": (s("Kamstrup_V0001", o(A), 7, o(B), 8), "tagged", PLAIN),
    "nulls where phases are missing": (s("Kamstrup_V0001", o(A), 7, None, None, o(B), 8, None, None), "tagged", PLAIN),
    "a value that is null": (s(o(A), None, o(B), 8), "tagged", [(A, None, None, None), PLAIN[1]]),
    "signed, float, text, bits": (
        s(o(A), -7, o(B), 1.5, o(SERIAL), "AB", o("0.0.96.5.0.255"), axdr.BitString(b"\xa0", 4)),
        "tagged",
        [(A, -7, None, None), (B, 1.5, None, None), (SERIAL, "AB", None, None), ("0.0.96.5.0.255", "1010", None, None)],
    ),
    "octets of every kind": (
        s(o(SERIAL), b"12 AB\0\0", o("0.0.96.5.0.255"), b"\x01\xff", o(CLOCK), TIME, o("0.0.96.13.0.255"), b""),
        "tagged",
        [
            (SERIAL, "12 AB", None, None),
            ("0.0.96.5.0.255", "01FF", None, None),
            (CLOCK, ISO, None, None),
            ("0.0.96.13.0.255", "", None, None),
        ],
    ),
    "six octets that are no name": (s(o(SERIAL), b"160456", o(A), 7), "tagged", [(SERIAL, "160456", None, None), PLAIN[0]]),
    "a structure as a value": (
        s(o("0.0.96.5.0.255"), s(1, b"AB", TIME)),
        "tagged",
        [("0.0.96.5.0.255", f'[1,"AB","{ISO}"]', None, None)],
    ),
    "own name of the push setup": (
        s(Enum(1), a(s(d(40, SETUP, 1), o(SETUP)), s(d(3, A), 7), s(d(3, B), 8))),
        "descriptors",
        PLAIN,
    ),
    "object list, itself listed": (s(a(entry(40, SETUP), entry(3, A), entry(3, B)), 7, 8), "object-list", PLAIN),
    "object list, then its setup's name": (
        s(a(entry(40, SETUP), entry(40, SETUP, 1), entry(3, A), entry(3, B)), o(SETUP), 7, 8),
        "object-list",
        PLAIN,
    ),
    "object list, not listed": (s(a(entry(3, A), entry(3, B)), 7, 8), "object-list", PLAIN),
    "object list, values in a structure": (s(a(entry(3, A), entry(3, B)), s(7, 8)), "object-list", PLAIN),
    "object list behind the device's name": (
        s(b"ABC1", a(entry(1, NAME), entry(40, SETUP), entry(3, A)), 7),
        "object-list",
        [(NAME, "ABC1", None, None), PLAIN[0]],
    ),
    "object list with restrictions": (
        s(a(*(s(*entry(c, n), s(Enum(0), None), a()) for c, n in ((40, SETUP), (3, A), (3, B)))), 7, 8),
        "object-list",
        PLAIN,
    ),
    "object list with scaler-units": (
        s(a(entry(40, SETUP), entry(3, A), entry(3, A, 3), entry(3, V), entry(3, V, 3)), 7, u(0, 30), 2301, u(-1, 35)),
        "object-list",
        UNITS,
    ),
    "the whole push setup first": (
        s(s(o(SETUP), a(entry(40, SETUP, 0), entry(3, A), entry(3, B)), s(0, b"host", 0), a(), 0, 0), 7, 8),
        "object-list",
        PLAIN,
    ),
    "IDIS: device, push setup, named": (
        s(b"ISK0000000000001", o(SETUP), o(A), 7),
        "push-setup",
        [(NAME, "ISK0000000000001", None, None), PLAIN[0]],
    ),
    "SMR 5: alarm registers": (
        s(b"E0001234567890123", o("0.1.25.9.0.255"), Tagged(axdr.UINT32, 4), Tagged(axdr.UINT32, 1)),
        "push-setup",
        [
            ("0.0.96.1.1.255", "E0001234567890123", None, None),
            ("0.0.97.98.0.255", 4, None, None),
            ("0.0.97.98.1.255", 1, None, None),
        ],
    ),
    "SMR 5: last gasp": (
        s(b"E0001234567890123", o("0.3.25.9.0.255"), Tagged(axdr.UINT32, 1)),
        "push-setup",
        [("0.0.96.1.1.255", "E0001234567890123", None, None), ("0.0.97.98.2.255", 1, None, None)],
    ),
    "device, push setup, time": (
        s(b"10064526", o(SETUP), TIME),
        "push-setup",
        [(SERIAL, "10064526", None, None), (CLOCK, ISO, None, None)],
    ),
}


@pytest.mark.parametrize(("body", "layout", "values"), BODIES.values(), ids=BODIES)
def test_recognised(body: Any, layout: str, values: list[tuple[Any, ...]]) -> None:
    telegram = read(body)
    assert (said(telegram), telegram.layout) == (values, layout)


@pytest.mark.parametrize(("length", "phases"), [(9, 1), (13, 3), (14, 1), (18, 3)])
def test_kaifa_lists(length: int, phases: int) -> None:
    numbers = list(range(100, 100 + length - 3))
    if length in (14, 18):
        numbers[-5] = TIME  # type: ignore[call-overload]  # the clock stands before the energies
    telegram = read(s(b"KFM_001", b"6970631", b"MA105", *numbers), header=b"\x09\x0c" + TIME)
    assert telegram.layout == "list"
    assert telegram.list_id == "KFM_001"
    assert [v.obis for v in telegram.values][:3] == ["1.1.0.2.129.255", SERIAL, "0.0.96.1.7.255"]
    units = [v.unit for v in telegram.values[3:]]
    first = ["W", "W", "var", "var"] + ["A"] * phases + ["V"] * phases
    assert units == (first if length in (9, 13) else [*first, None, "Wh", "Wh", "varh", "varh"])


def test_kaifa_list_1_is_told_by_its_header() -> None:
    body = s(Tagged(axdr.UINT32, 601))
    assert said(read(body, header=b"\x09\x0c" + TIME)) == [("1.0.1.7.0.255", 601, 0, "W")]
    with pytest.raises(DecodeError) as caught:
        read(body, header=b"\x0c" + TIME)
    assert caught.value.code == "dlms-layout-unknown"


def test_lists_name_no_object_twice() -> None:
    for positions in LISTS.values():
        assert len({position.obis for position in positions}) == len(positions)


UNKNOWN = {
    "one number": 7,
    "null": None,
    "text": "abc",
    "no names": s(1, 2, 3),
    "empty": s(),
    "a list that nobody knows": s(b"XYZ_001", 1, 2),
    "object list and too few values": s(a(entry(40, SETUP), entry(3, A), entry(3, B)), 7),
    "object list alone": s(a(entry(3, A), entry(3, B))),
    "a name without a value": s(o(A)),
}


@pytest.mark.parametrize("body", UNKNOWN.values(), ids=UNKNOWN)
def test_unknown(body: Any) -> None:
    with pytest.raises(DecodeError) as caught:
        read(body)
    assert caught.value.code == "dlms-layout-unknown"


TIMES = {
    "header alone": (s(o(A), 7), b"\x0c" + TIME, ISO),
    "header before the body's": (s(LATER, o(A), 7), b"\x0c" + TIME, ISO),
    "body's where the header has none": (s(TIME, o(A), 7), b"\0", ISO),
    "a clock's value is a value": (s(o(CLOCK), TIME, o(A), 7), b"\0", None),
}


@pytest.mark.parametrize(("body", "header", "iso"), TIMES.values(), ids=TIMES)
def test_meter_time(body: Any, header: bytes, iso: str | None) -> None:
    telegram = read(body, header=header)
    assert (telegram.meter_time.iso if telegram.meter_time else None) == iso
    assert telegram.clock is not None
    assert telegram.clock.iso == ISO


def test_what_has_no_name_is_kept() -> None:
    telegram = read(s("Kamstrup_V0001", TIME, o(A), 7, u(0, 30), b"181220000009", 5))
    assert (telegram.list_id, telegram.unnamed) == ("Kamstrup_V0001", ("181220000009", 5))
    template = PushTemplate(unnamed={-2: SERIAL})
    telegram = read(s(TIME, o(A), 7, u(0, 30), b"181220000009", 5), template)
    assert said(telegram)[-1] == (SERIAL, "181220000009", None, None)
    assert telegram.unnamed == (5,)


def test_events_of_a_pushed_log_have_their_own_time() -> None:
    log = "0.0.99.98.0.255"
    telegram = read(
        s(b"ELV0000000000001", o(SETUP), o(log), a(s(TIME, o("0.0.96.11.0.255"), 1), s(LATER, o("0.0.96.11.0.255"), 2)))
    )
    assert [(v.raw, v.time and v.time.iso) for v in telegram.values[1:]] == [(1, ISO), (2, ISO.replace("16:", "17:"))]


CAPTURED = a(entry(8, CLOCK), entry(1, "0.0.96.10.1.255"), entry(3, A))
ROWS = a(s(TIME, 0, 7), s(None, 0, 8))


def test_profile_with_its_capture_objects() -> None:
    profile = "1.0.99.1.0.255"
    telegram = read(s(a(entry(40, SETUP), entry(7, profile, 3), entry(7, profile)), CAPTURED, ROWS))
    (pushed,) = telegram.profiles
    assert [column.obis for column in pushed.columns] == [CLOCK, "0.0.96.10.1.255", A]
    assert pushed.rows == ((ISO, 0, 7), (None, 0, 8))
    assert [time and time.iso for time in pushed.times] == [ISO, None]
    assert telegram.values == ()


def test_profile_whose_columns_the_template_names() -> None:
    profile = "1.0.99.1.0.255"
    columns = (Position(CLOCK, 8), Position("0.0.96.10.1.255", 1), Position(A, 3, scaler=0, unit="Wh"))
    template = PushTemplate(
        layout="positional", objects={"*": (Position(SERIAL), Position(profile, 7))}, profiles={profile: columns}
    )
    telegram = read(s(b"10064526", ROWS), template)
    assert said(telegram) == [(SERIAL, "10064526", None, None)]
    assert telegram.profiles[0].columns[2].unit == "Wh"
    assert telegram.profiles[0].rows == ((ISO, 0, 7), (None, 0, 8))


def test_profile_whose_columns_nobody_names_is_kept_as_text() -> None:
    telegram = read(s(a(entry(40, SETUP), entry(7, "1.0.99.1.0.255")), ROWS))
    assert said(telegram) == [("1.0.99.1.0.255", f'[["{ISO}",0,7],[null,0,8]]', None, None)]


TEMPLATES = {
    "positions of any body": (
        s(b"AB", 7, 8),
        PushTemplate(objects={"*": (Position(SERIAL), Position(A, 3, scaler=0, unit="Wh"), Position(""))}),
        [(SERIAL, "AB", None, None), (A, 7, 0, "Wh")],
    ),
    "positions of one push setup": (
        s(b"ISK1", o(SETUP), 7),
        PushTemplate(objects={SETUP: (Position(NAME, 1), Position(SETUP, 40, 1), Position(A, 3))}),
        [(NAME, "ISK1", None, None), PLAIN[0]],
    ),
    "positions of a list": (
        s("XYZ_001", 7),
        PushTemplate(lists={("XYZ_001", 2): (Position("1.1.0.2.129.255"), Position(A))}),
        [("1.1.0.2.129.255", "XYZ_001", None, None), PLAIN[0]],
    ),
    "units": (s(o(A), 7, o(B), 8), PushTemplate(units={A: (1, "Wh")}), [(A, 7, 1, "Wh"), PLAIN[1]]),
    "units of the telegram come first": (s(o(A), 7, u(0, 30)), PushTemplate(units={A: (1, "varh")}), [UNITS[0]]),
    "deviation reversed": (
        s(o(CLOCK), TIME),
        PushTemplate(deviation_reversed=True),
        [(CLOCK, "2022-11-12T16:54:00-01:00", None, None)],
    ),
}


@pytest.mark.parametrize(("body", "template", "values"), TEMPLATES.values(), ids=TEMPLATES)
def test_template(body: Any, template: PushTemplate, values: list[tuple[Any, ...]]) -> None:
    assert said(read(body, template)) == values


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_of_the_template_is_not_left(layout: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(s(1, 2, 3), PushTemplate(name="mine", layout=layout))
    assert caught.value.code == "dlms-layout-unknown"
    assert "mine" in caught.value.detail


SOURCES = {
    "push setup listed": (s(a(entry(40, SETUP), entry(3, A)), 7), f"40/{SETUP}/2"),
    "push setup's name": (s(b"ISK1", o(SETUP), o(A), 7), f"40/{SETUP}/1"),
    "none": (s(o(A), 7), "tagged"),
}


@pytest.mark.parametrize(("body", "source"), SOURCES.values(), ids=SOURCES)
def test_source(body: Any, source: str) -> None:
    assert read(body).source == source


SCALED = [
    (2301, -1, 230.1),
    (7, 2, 700),
    (7, None, 7),
    (7, 0, 7),
    (-5, -3, -0.005),
    (1.5, 1, 15.0),
    ("text", 2, "text"),
    (None, 1, None),
]


@pytest.mark.parametrize(("raw", "scaler", "value"), SCALED)
def test_scaled(raw: Any, scaler: int | None, value: Any) -> None:
    assert scaled(raw, scaler) == value


def test_a_float_that_is_no_number_is_absent() -> None:
    assert said(read(s(o(A), float("nan"), o(B), float("inf")))) == [(A, None, None, None), (B, None, None, None)]
