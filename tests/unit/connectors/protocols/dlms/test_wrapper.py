from __future__ import annotations

import pytest
from gurux_dlms import GXByteBuffer
from gurux_dlms.enums import InterfaceType
from gurux_dlms.GXDLMSNotify import GXDLMSNotify
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.errors import FramingError
from connectors.protocols.dlms.framing import Apdu, Limits, PushStream, Refused, wrapper


def test_pack() -> None:
    assert wrapper.pack(1, 16, b"\x0f\x01").hex() == "00010001001000020f01"


def test_pack_too_long() -> None:
    with pytest.raises(FramingError) as caught:
        wrapper.pack(1, 16, bytes(0x10000))
    assert caught.value.code == "frame-oversized"


def test_gurux_push() -> None:
    notify = GXDLMSNotify(True, 16, 1, InterfaceType.WRAPPER)
    body = bytes.fromhex("0914") + bytes(20)
    octets = b"".join(bytes(m) for m in notify.generateDataNotificationMessages(None, GXByteBuffer(body)))
    (apdu,) = PushStream().feed(octets)
    assert isinstance(apdu, Apdu)
    assert (apdu.transport, apdu.source, apdu.destination, apdu.confirm) == ("WRAPPER", 1, 16, b"")
    assert apdu.frames == (octets,)
    assert apdu.data[0] == 0x0F
    assert apdu.data.endswith(body)
    assert wrapper.pack(1, 16, apdu.data) == octets


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        pytest.param("0001000100100000", "frame-malformed", id="no APDU"),
        pytest.param("00010001001003E9", "frame-oversized", id="length beyond the limit, before anything of it came"),
        pytest.param("0002000100100002", "frame-garbage", id="version 2"),
        pytest.param("00010001001000030F", "frame-truncated", id="cut off"),
        pytest.param("0001", "frame-truncated", id="cut off in the header"),
    ],
)
def test_refused(octets: str, code: str) -> None:
    stream = PushStream(Limits(max_apdu=1000))
    (refused,) = stream.feed(bytes.fromhex(octets)) + stream.close()
    assert isinstance(refused, Refused)
    assert (refused.code, refused.data) == (code, bytes.fromhex(octets))


def test_goes_on_after_a_wrong_length() -> None:
    stream = PushStream(Limits(max_apdu=1000))
    good = wrapper.pack(1, 16, b"\x0fgood")
    items = stream.feed(bytes.fromhex("000100010010FFFF0F01") + good * 2)
    assert [type(item) for item in items] == [Refused, Apdu, Apdu]


@given(
    st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(min_size=1)), max_size=5),
    st.integers(1, 20),
)
def test_deframer(messages: list[tuple[int, int, bytes]], size: int) -> None:
    octets = b"".join(wrapper.pack(*message) for message in messages)
    deframer = wrapper.Deframer()
    found = [m for at in range(0, len(octets), size) for m in deframer.feed(octets[at : at + size])]
    assert found == messages
    assert deframer.buffered == 0


@given(st.binary(max_size=64))
def test_deframer_raises_nothing_else(octets: bytes) -> None:
    deframer = wrapper.Deframer(max_apdu=64)
    try:
        deframer.feed(octets)
    except FramingError as error:
        assert error.code in {"frame-garbage", "frame-oversized", "frame-malformed"}  # noqa: PT017 - it may also be right
    assert deframer.buffered <= 72
