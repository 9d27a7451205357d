from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.c12.c1222_framing import KEEP_ALIVE, ApduStream, Framed, Item, Refused, datagram
from connectors.protocols.c12.requests import ReadFull, WriteFull
from tests.unit.connectors.protocols.c12.messages import CIPHERED, request

SHORT, LONG = (request(one, seal_with=CIPHERED) for one in (ReadFull(1), WriteFull(64, bytes(400))))
HUGE = request(WriteFull(64, bytes(8200)))


def fed(data: bytes, pieces: list[int] | None = None, most: int = 8192) -> list[Item]:
    stream, out, at = ApduStream(max_apdu=most), [], 0
    for size in pieces or [len(data)]:
        out += stream.feed(data[at : at + size])
        at += size
        assert stream.buffered <= most + 8
    out += stream.feed(data[at:])
    return out + stream.close()


def kinds(items: list[Item]) -> list[str]:
    return ["message" if isinstance(item, Framed) else item.code for item in items]


def test_many_messages_in_a_segment() -> None:
    assert fed(SHORT + LONG + KEEP_ALIVE + SHORT) == [Framed(SHORT), Framed(LONG), Framed(SHORT)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_message_in_many_segments(size: int) -> None:
    data = SHORT + LONG + SHORT
    assert fed(data, [size] * (len(data) // size)) == [Framed(SHORT), Framed(LONG), Framed(SHORT)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", ["c1222-garbage"]),
        (b"\x00\x01noise" + SHORT, ["c1222-garbage", "message"]),
        (SHORT + b"\x7e\xa0" + LONG + SHORT, ["message", "c1222-garbage", "message", "message"]),
        (b"\x60\x80" + SHORT, ["c1222-ber", "message"]),
        (b"\x60\x85aaaaaa" + SHORT, ["c1222-ber", "message"]),
        (b"\x60\x84\xff\xff\xff\xff" + SHORT, ["c1222-oversized", "message"]),
        (HUGE + SHORT, ["c1222-oversized", "c1222-oversized", "message"]),
        (SHORT + LONG[:-1], ["message", "c1222-truncated"]),
        (b"\x60", ["c1222-truncated"]),
        (b"\x60\x82\x01", ["c1222-truncated"]),
        (b"x" * 20_000 + SHORT, [*["c1222-garbage"] * 3, "message"]),
        (KEEP_ALIVE * 3, []),
    ],
    ids=["HTTP", "noise before", "noise between", "an indefinite length", "a long length", "a huge length", "too large",
         "cut", "a tag", "half a length", "much noise", "keep-alive"],
)  # fmt: skip
def test_what_is_no_message_is_refused_and_the_next_one_found(data: bytes, expected: list[str]) -> None:
    items = fed(data)
    assert kinds(items) == expected
    assert b"".join(item.octets for item in items) == data.replace(KEEP_ALIVE * 3, b"")
    assert fed(data, [1] * min(len(data), 700)) == items
    assert fed(data, [997] * (len(data) // 997)) == items


@given(st.binary(max_size=60), st.lists(st.integers(1, 40), max_size=20))
def test_items_depend_on_the_octets_alone(noise: bytes, sizes: list[int]) -> None:
    data = SHORT + noise + SHORT + noise
    whole = fed(data, most=512)
    assert fed(data, sizes, most=512) == whole
    assert whole[0] == Framed(SHORT)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (SHORT, ["message"]),
        (b"", []),
        (KEEP_ALIVE, []),
        (SHORT + b"\0", ["message", "c1222-garbage"]),
        (SHORT[:-1], ["c1222-truncated"]),
        (b"\x60", ["c1222-truncated"]),
        (b"\x60\x80" + SHORT, ["c1222-ber"]),
        (b"\x01" + SHORT, ["c1222-garbage"]),
        (HUGE, ["c1222-oversized"]),
    ],
    ids=["one", "empty", "keep-alive", "one and more", "cut", "a tag", "indefinite", "noise", "too large"],
)
def test_datagrams(data: bytes, expected: list[str]) -> None:
    items = datagram(data, max_apdu=8192)
    assert kinds(items) == expected
    assert all(isinstance(item, Framed) or item.detail for item in items)
    assert not data or data == KEEP_ALIVE or b"".join(item.octets for item in items) == data
    assert all(isinstance(item, Framed | Refused) for item in items)
