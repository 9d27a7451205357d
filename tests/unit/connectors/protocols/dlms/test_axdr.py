from __future__ import annotations

import struct
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
from gurux_dlms import GXArray, GXBitString, GXByteBuffer, GXDateTime, GXEnum, GXStructure
from gurux_dlms.enums import DataType
from gurux_dlms.internal._GXCommon import _GXCommon
from gurux_dlms.internal._GXDataInfo import _GXDataInfo
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.axdr import Array, BitString, Enum, Structure, Tagged
from connectors.protocols.dlms.cosem import parse_datetime
from connectors.protocols.dlms.errors import DecodeError
from tests.unit.connectors.protocols.dlms.gurux_meter import code_of

DATE_TIME = "07E60B0C0610360000FFC400"


def pair(class_id: int, name: str, attribute: int, value: axdr.Value) -> Structure:
    return Structure((Structure((class_id, bytes.fromhex(name), attribute)), value))


DECODED: dict[str, tuple[str, axdr.Value]] = {
    "null": ("00", None),
    "dont-care": ("FF", None),
    "boolean": ("0301", True),
    "bit-string": ("040AA5C0", BitString(bytes.fromhex("A5C0"), 10)),
    "int32": ("05FFFFFFFE", -2),
    "uint32": ("06FFFFFFFE", 4294967294),
    "octets": ("0903010203", b"\x01\x02\x03"),
    "octets, long length": ("098103010203", b"\x01\x02\x03"),
    "visible": ("0A03414243", "ABC"),
    "visible that is none": ("0A02C3A4", b"\xc3\xa4"),
    "utf8": ("0C02C3A4", "ä"),
    "utf8 that is none": ("0C01FF", b"\xff"),
    "int8": ("0FFE", -2),
    "int16": ("10FFFE", -2),
    "uint8": ("11FE", 254),
    "uint16": ("12FFFE", 65534),
    "int64": ("14FFFFFFFFFFFFFFFE", -2),
    "uint64": ("15FFFFFFFFFFFFFFFE", 2**64 - 2),
    "enum": ("161E", Enum(30)),
    "float32": ("173FC00000", 1.5),
    "float64": ("183FF8000000000000", 1.5),
    "date-time": ("19" + DATE_TIME, axdr.DateTimeOctets(bytes.fromhex(DATE_TIME))),
    "date": ("1A07E60B0C06", axdr.DateOctets(bytes.fromhex("07E60B0C06"))),
    "time": ("1B10360000", axdr.TimeOctets(bytes.fromhex("10360000"))),
    "structure": ("020211010A0141", Structure((1, "A"))),
    "array": ("010211011102", Array((1, 2))),
    "empty array": ("0100", Array()),
    # element type structure {uint16, octet-string}; the octet-string keeps its length in the contents
    "compact array": (
        "1302021209" + "09" + "0001" + "0141" + "0002" + "024243",
        Array((Structure((1, b"A")), Structure((2, b"BC")))),
    ),
    "compact array of numbers": ("1312" + "04" + "00010002", Array((1, 2))),
    "compact array of arrays": ("13" + "01000211" + "04" + "01020304", Array((Array((1, 2)), Array((3, 4))))),
    # EGD (CZ): pairs whose descriptor has no tags. With less than twelve pairs, a cut in the first cannot be told for sure
    "bare descriptors": (
        "010C"
        + ("0202" + "0003" + "0100010700FF" + "02" + "0600000003" + "0202" + "0046" + "000060030AFF" + "03" + "1601") * 6,
        Array((pair(3, "0100010700FF", 2, 3), pair(70, "000060030AFF", 3, Enum(1))) * 6),
    ),
    # Landis+Gyr ZMF: tag and length of the name swapped
    "swapped name": ("0202" + "0609" + "01001F0700FF" + "1000F4", Structure((bytes.fromhex("01001F0700FF"), 244))),
}


@pytest.mark.parametrize(("octets", "value"), DECODED.values(), ids=DECODED)
def test_decode(octets: str, value: axdr.Value) -> None:
    data = bytes.fromhex(octets)
    got, end = axdr.decode(b"\xaa" + data + b"\xbb", 1)
    assert (got, type(got), end) == (value, type(value), len(data) + 1)
    assert axdr.skip(memoryview(b"\xaa" + data + b"\xbb"), 1) == len(data) + 1


@pytest.mark.parametrize(("octets", "value"), DECODED.values(), ids=DECODED)
def test_every_prefix_is_truncated(octets: str, value: axdr.Value) -> None:
    data = bytes.fromhex(octets)
    for size in range(len(data)):
        for read in (axdr.decode, axdr.skip):
            with pytest.raises(DecodeError) as caught:
                read(data[:size])
            assert caught.value.code == "dlms-truncated", (size, caught.value)


REFUSED = {
    "unknown tag": ("08", "dlms-axdr"),
    "unknown tag inside": ("0202110107", "dlms-axdr"),
    "length of no octets": ("0980", "dlms-axdr"),
    "length of five octets": ("09850000000001", "dlms-axdr"),
    "more elements than allowed": ("0184FFFFFFFF", "dlms-axdr"),
    "more elements than octets": ("0182FFFF00", "dlms-truncated"),
    "octets beyond the end": ("0984FFFFFFFF00", "dlms-truncated"),
    "nested too deep": ("0101" * 17 + "00", "dlms-nesting"),
    "compact array nested too deep": ("13" + "0201" * 20 + "00", "dlms-nesting"),
    "compact array of nothing": ("1300" + "0100", "dlms-axdr"),
    "compact array that unfolds": ("13" + "01FFFF01FFFF00" + "0100", "dlms-axdr"),
    "compact array cut in an element": ("1312" + "03" + "000100", "dlms-axdr"),
    "compact array of an unknown type": ("1308" + "0100", "dlms-axdr"),
    "bare descriptor, then none": ("0102" + "020200030100010700FF021101" + "020200030100010700EE021101", "dlms-axdr"),
}


@pytest.mark.parametrize(("octets", "code"), REFUSED.values(), ids=REFUSED)
def test_refused(octets: str, code: str) -> None:
    with pytest.raises(DecodeError) as caught:
        axdr.decode(bytes.fromhex(octets))
    assert caught.value.code == code


values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False),
        st.text(st.characters(codec="utf-8"), max_size=200),
        st.binary(max_size=200),
        st.integers(0, 255).map(Enum),
        st.binary(min_size=12, max_size=12).map(axdr.DateTimeOctets),
        st.integers(0, 40).flatmap(
            lambda n: st.binary(min_size=(n + 7) // 8, max_size=(n + 7) // 8).map(lambda b: BitString(b, n))
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5).map(lambda x: Structure(tuple(x))),
        st.lists(inner, max_size=5).map(lambda x: Array(tuple(x))),
    ),
    max_leaves=20,
)


@given(values)
def test_round_trip(value: axdr.Value) -> None:
    octets = axdr.encode(value)
    assert axdr.decode(octets) == (value, len(octets))
    assert axdr.skip(octets) == len(octets)


@given(st.binary(max_size=300))
@settings(max_examples=400)
def test_only_decode_errors(octets: bytes) -> None:
    ends: list[int | str] = []
    for read in (lambda data: axdr.decode(data)[1], axdr.skip):
        try:
            ends.append(read(octets))
        except DecodeError as error:
            ends.append(error.code)
    assert ends[0] == ends[1] or 0x13 in octets  # skip does not look into a compact array's contents


TAGGED = {
    "int8": (axdr.INT8, -5, DataType.INT8),
    "uint8": (axdr.UINT8, 5, DataType.UINT8),
    "int16": (axdr.INT16, -5, DataType.INT16),
    "uint16": (axdr.UINT16, 5, DataType.UINT16),
    "int32": (axdr.INT32, -5, DataType.INT32),
    "uint32": (axdr.UINT32, 5, DataType.UINT32),
    "int64": (axdr.INT64, -5, DataType.INT64),
    "uint64": (axdr.UINT64, 5, DataType.UINT64),
    "float32": (axdr.FLOAT32, 1.5, DataType.FLOAT32),
    "float64": (axdr.FLOAT64, -1.5, DataType.FLOAT64),
    "enum": (axdr.ENUM, 30, DataType.ENUM),
    "octets": (axdr.OCTET_STRING, b"\x00\xff" * 100, DataType.OCTET_STRING),
    "visible": (axdr.VISIBLE_STRING, "KFM_001", DataType.STRING),
    "utf8": (axdr.UTF8_STRING, "Zähler", DataType.STRING_UTF8),
    "boolean": (axdr.BOOLEAN, True, DataType.BOOLEAN),
}


@pytest.mark.parametrize(("tag", "value", "gurux"), TAGGED.values(), ids=TAGGED)
def test_encodes_as_gurux_does(tag: int, value: Any, gurux: DataType) -> None:
    buffer = GXByteBuffer()
    _GXCommon.setData(None, buffer, gurux, value)
    assert axdr.encode(Tagged(tag, value)) == bytes(buffer.array())
    assert axdr.decode(bytes(buffer.array()))[0] == value


def _from_gurux(value: Any) -> axdr.Value:
    if isinstance(value, (GXStructure, GXArray, list)):
        kind = Structure if isinstance(value, GXStructure) else Array
        return kind(_from_gurux(item) for item in value)
    if isinstance(value, GXEnum):
        return Enum(int(value))
    if isinstance(value, (GXBitString, str)):
        return str(value).encode()
    return bytes(value) if isinstance(value, bytearray) else value


def _comparable(value: axdr.Value) -> axdr.Value:
    if isinstance(value, (Structure, Array)):
        return type(value)(_comparable(item) for item in value)
    if isinstance(value, BitString):
        return "".join(f"{octet:08b}" for octet in value.value)[: value.length].encode()
    return value.encode() if isinstance(value, str) else value


@given(values)
def test_gurux_reads_what_is_encoded(value: axdr.Value) -> None:
    octets = axdr.encode(value)
    if b"\x19" in octets or b"\x0c" in octets:
        return  # gurux makes a date of a date-time and refuses those that are none, and shows control characters as hex
    assert _from_gurux(_GXCommon.getData(None, GXByteBuffer(octets), _GXDataInfo())) == _comparable(value)


def test_a_date_time_as_gurux_writes_it() -> None:
    buffer = GXByteBuffer()
    _GXCommon.setData(
        None, buffer, DataType.DATETIME, GXDateTime(datetime(2022, 11, 12, 16, 54, tzinfo=timezone(timedelta(hours=1))))
    )
    value, _ = axdr.decode(bytes(buffer.array()))
    assert isinstance(value, axdr.DateTimeOctets)
    time = parse_datetime(value)
    assert time is not None
    assert time.utc_ms == 1668268440000


@pytest.mark.parametrize("value", [object(), 2**64, -(2**63) - 1])
def test_what_cannot_be_encoded(value: Any) -> None:
    with pytest.raises((TypeError, OverflowError, struct.error)):
        axdr.encode(value)


LENGTHS = [(0, "00"), (127, "7F"), (128, "8180"), (255, "81FF"), (256, "820100"), (70_000, "83011170")]


@pytest.mark.parametrize(("n", "octets"), LENGTHS)
def test_lengths(n: int, octets: str) -> None:
    assert axdr.encode_length(n).hex().upper() == octets
    assert axdr.read_length(bytes.fromhex(octets), 0) == (n, len(octets) // 2)


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        # rows {uint8, array of nulls}
        pytest.param("1302021101000D00" + "02" + "0102", None, id="few-nulls"),
        pytest.param("130202110100FF00" + "02" + "0102", "dlms-axdr", id="more-than-an-octet-may-make"),
        pytest.param("1302021101000D00" + "83014000" + "00" * 0x14000, "dlms-axdr", id="more-than-one-array-may-have"),
    ],
)
def test_what_a_compact_array_unfolds_to_is_bounded_by_its_own_octets(octets: str, code: str | None) -> None:
    data = bytes.fromhex(octets)
    for behind in (b"", bytes(1000)):
        assert code_of(partial(axdr.decode, data + behind)) == code
        assert axdr.skip(data + behind) == len(data)
