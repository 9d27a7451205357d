"""Dates and times with open places: octets, text, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.objects.patterns import (
    NEVER,
    DatePattern,
    DateTimePattern,
    TimePattern,
    read_date,
    read_datetime,
    read_time,
)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        pytest.param("FF FF 03 FE 07 02 00 00 FF 80 00 FF", "*-03-last sun 02:00:00", id="last-sunday-in-march"),
        pytest.param("07 E6 0B 0C FF 10 36 00 00 FF C4 00", "2022-11-12 16:54:00", id="plain"),
        pytest.param("FF FF FE FD FF FF FF FF FF 80 00 FF", "*-dst-begin-2nd-last *:*:*", id="daylight-saving"),
        pytest.param("FF FF FF FF FF FF FF FF FF 80 00 FF", "*-*-* *:*:*", id="never"),
    ],
)
def test_text_and_octets(octets: str, text: str) -> None:
    found = read_datetime(bytes.fromhex(octets), "x")
    assert str(found) == text
    assert found.encode() == bytes.fromhex(octets)


def test_never() -> None:
    assert NEVER.encode().hex().upper() == "FFFFFFFFFFFFFFFFFF8000FF"


@given(st.binary(max_size=13))
def test_what_is_read_is_written_the_same(octets: bytes) -> None:
    try:
        found = read_datetime(octets, "x")
    except DecodeError:
        return
    if found.deviation is None or abs(found.deviation) <= 840:
        assert found.encode() == octets
    else:
        with pytest.raises(DecodeError, match="14 hours"):
            found.encode()


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda: read_date(bytes.fromhex("07E60D0CFF"), "x"), id="13th-month"),
        pytest.param(lambda: read_date(b"", "x"), id="nothing"),
        pytest.param(lambda: read_time(bytes.fromhex("18000000"), "x"), id="hour-24"),
        pytest.param(lambda: DatePattern(2022, 0).encode(), id="month-0"),
        pytest.param(lambda: DatePattern(-1).encode(), id="year-before"),
        pytest.param(lambda: TimePattern(300).encode(), id="hour-300"),
        pytest.param(lambda: DateTimePattern(deviation=900).encode(), id="15-hours-off"),
    ],
)
def test_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(DecodeError) as raised:
        call()
    assert raised.value.code in ("dlms-time", "object-value")
