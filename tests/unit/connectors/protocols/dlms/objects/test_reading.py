"""Numbers in the types that a meter keeps them in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.answers import whole
from connectors.protocols.dlms.association import PROPOSED, Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DecodeError, DlmsError
from connectors.protocols.dlms.objects.calendar import read_calendars, read_special_days
from connectors.protocols.dlms.objects.disconnect import read_relay
from connectors.protocols.dlms.objects.event_log import read_event_log
from connectors.protocols.dlms.objects.image_transfer import read_image_state
from connectors.protocols.dlms.objects.limiter import read_limiter
from connectors.protocols.dlms.objects.mbus_client import read_mbus_device
from connectors.protocols.dlms.objects.object_list import read_object_list
from connectors.protocols.dlms.objects.push_setup import read_push_setup
from connectors.protocols.dlms.objects.reading import like, number_of
from connectors.protocols.dlms.objects.registers import read_demand_register
from connectors.protocols.dlms.objects.security_setup import read_security_setup
from tests.unit.connectors.protocols.dlms.gurux_meter import drive


@pytest.mark.parametrize(
    ("present", "number", "octets"),
    [
        pytest.param("06 00 00 00 07", 5, "06 00 00 00 05", id="uint32"),
        pytest.param("12 00 07", 5, "12 00 05", id="uint16"),
        pytest.param("0F 07", -5, "0F FB", id="int8"),
        pytest.param("16 01", 2, "16 02", id="enum"),
        pytest.param("03 01", 0, "03 00", id="boolean"),
        pytest.param("17 00 00 00 00", 1.5, "17 3F C0 00 00", id="float32"),
        pytest.param("00", 5, "11 05", id="null"),
        pytest.param("04 0A 00 00", 0b10_0000_0101, "04 0A A0 40", id="bits"),
    ],
)
def test_like(present: str, number: float, octets: str) -> None:
    assert like(bytes.fromhex(present), number, "x") == bytes.fromhex(octets)


@pytest.mark.parametrize(
    ("present", "number", "code"),
    [
        pytest.param("11 07", 256, "object-value", id="too-large"),
        pytest.param("11 07", 0.5, "object-value", id="no-whole-number"),
        pytest.param("16 01", 256, "object-value", id="enum-too-large"),
        pytest.param("04 04 00", 16, "object-value", id="bits-beyond"),
        pytest.param("09 01 00", 1, "object-shape", id="octets"),
    ],
)
def test_like_refused(present: str, number: float, code: str) -> None:
    with pytest.raises(DecodeError) as raised:
        like(bytes.fromhex(present), number, "x")
    assert raised.value.code == code


@given(st.integers(1, 64).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, 2**n - 1))))
def test_bits_there_and_back(case: tuple[int, int]) -> None:
    length, number = case
    present = axdr.encode(axdr.BitString(bytes((length + 7) // 8), length))
    assert number_of(whole(like(present, number, "x"), "x"), "x") == number


READS: list[Callable[[Associated], Session[object]]] = [
    read_object_list, read_calendars, read_special_days, read_relay, read_image_state, read_limiter, read_push_setup,
    read_security_setup, lambda link: read_mbus_device(link, 1), lambda link: read_demand_register(link, "1.0.1.4.0.255"),
    lambda link: read_event_log(link, "0.0.99.98.0.255"),
]  # fmt: skip

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**31), 2**31), st.binary(max_size=13), st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=11).flatmap(
        lambda rows: st.sampled_from([axdr.Structure(rows), axdr.Array(rows)])
    ),
    max_leaves=20,
)


@given(st.sampled_from(READS), st.tuples(VALUES, VALUES), st.binary(max_size=40), st.booleans())
def test_only_our_own_errors_whatever_the_meter_says(
    read: Callable[[Associated], Session[object]], values: tuple[axdr.Value, ...], garbage: bytes, broken: bool
) -> None:
    """Two values in turn as the answer to whatever is asked, singly or in a list."""

    def exchange(apdu: bytes) -> bytes:
        head = bytes((0xC4, apdu[1], apdu[2]))
        if broken:
            return head + garbage
        if apdu[1] == 1:
            return head + b"\0" + axdr.encode(values[0])
        count = apdu[3]
        return head + bytes((count,)) + b"".join(b"\0" + axdr.encode(value) for value in (values * count)[:count])

    with contextlib.suppress(DlmsError):
        drive(read(Associated(PROPOSED, 0)), exchange)
