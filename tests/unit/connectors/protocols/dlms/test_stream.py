"""Any octets, in any pieces, of any transport: the same items, no exception, bounded memory, nothing dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.errors import CODES, FramingError
from connectors.protocols.dlms.framing import Apdu, Item, Limits, PushStream, Refused, hdlc, mbus, wrapper

LIMITS = Limits(max_apdu=300, max_frames=6, max_garbage=64)
CAPTURES = (
    "hdlc_iskra550", "hdlc_kaifa_ma304h3e", "hdlc_kamstrup_omnipower", "hdlc_landis_gyr_e450", "hdlc_norway_han_3phase",
    "mbus_kmswest", "raw_egd_example", "raw_salzburg_netz",
)  # fmt: skip
CLIENT, METER = hdlc.address(16, 1), hdlc.address(145, 2)

Cut = Callable[[bytes], list[bytes]]


def through(pieces: list[bytes], limits: Limits = LIMITS, transport: str | None = None) -> tuple[list[Item], bytes]:
    stream = PushStream(limits, transport)
    items: list[Item] = []
    for piece in pieces:
        items += stream.feed(piece)
        # what waits is one frame or APDU or garbage, and the segments before it
        assert stream.buffered <= max(2048, limits.max_apdu + 9) + limits.max_garbage + 2 * limits.max_apdu
    items += stream.close()
    assert stream.buffered == 0
    return items, stream.take_replies()


def pieces_of(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


def octets_of(items: list[Item]) -> bytes:
    return b"".join(b"".join(item.frames) if isinstance(item, Apdu) else item.data for item in items)


# -- what a line carries ----------------------------------------------------------------------------------------------

apdus = st.one_of(
    st.binary(min_size=1, max_size=40).map(lambda b: b"\x0f" + b),
    st.binary(max_size=30).map(lambda b: b"\xdb\x08ABC12345" + bytes((len(b) + 5,)) + bytes(5) + b),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.binary(max_size=9), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=4).map(axdr.Structure), st.lists(inner, max_size=4).map(axdr.Array)),
    max_leaves=12,
)
bare_apdus = st.one_of(
    values.map(lambda value: b"\x0f\x00\x00\x00\x01\x00" + axdr.encode(value)),
    st.just(bytes.fromhex("0F000000010001020202000100006001 00FF020901410202000301000107 00FF021205")),
)


@st.composite
def hdlc_message(draw: st.DrawFn) -> bytes:
    apdu = hdlc.LLC_FROM_SERVER + draw(apdus)
    size = draw(st.integers(5, 50))
    parts = [apdu[at : at + size] for at in range(0, len(apdu), size)]
    frames = [hdlc.frame(CLIENT, METER, hdlc.UI, p, segmented=i < len(parts) - 1) for i, p in enumerate(parts)]
    if draw(st.booleans()):  # flags shared
        return frames[0] + b"".join(frame[1:] for frame in frames[1:])
    return b"".join(frames)


@st.composite
def mbus_message(draw: st.DrawFn) -> bytes:
    apdu, size = draw(apdus), draw(st.integers(5, 50))
    parts = [apdu[at : at + size] for at in range(0, len(apdu), size)]
    return b"".join(
        mbus.long_frame(p, number=i, last=i == len(parts) - 1, source=1, destination=103) for i, p in enumerate(parts)
    )


wrapped = apdus.map(lambda apdu: wrapper.pack(1, 16, apdu))
garbage = st.binary(max_size=100)
tricky = st.sampled_from(
    [b"\x7e", b"\x7e\xa0", b"\x7e\xa7\xff", b"\x68\x68\x68", b"\x00\x01\x00", b"\x00\x01" * 6, b"\x0f", b"\xdb\x08"]
)


@st.composite
def damaged(draw: st.DrawFn, sound: st.SearchStrategy[bytes]) -> bytes:
    octets = bytearray(draw(sound))
    at = draw(st.integers(0, len(octets) - 1))
    match draw(st.sampled_from(["flip", "cut", "insert"])):
        case "flip":
            octets[at] ^= draw(st.integers(1, 255))
        case "cut":
            del octets[at : at + draw(st.integers(1, 9))]
        case _:
            octets[at:at] = draw(st.binary(min_size=1, max_size=9))
    return bytes(octets)


sound = st.one_of(hdlc_message(), mbus_message(), wrapped, bare_apdus)
line = st.lists(st.one_of(sound, damaged(sound), garbage, tricky), max_size=8).map(b"".join)
cuts = st.lists(st.integers(0, 60), max_size=40)


@settings(max_examples=400, deadline=None)
@given(line, cuts, st.sampled_from([None, None, "HDLC", "MBUS", "WRAPPER", "RAW"]))
def test_items_do_not_depend_on_the_pieces(data: bytes, sizes: list[int], transport: str | None) -> None:
    whole = through([data], transport=transport)
    assert through(pieces_of(data, sizes), transport=transport) == whole
    assert through([bytes((octet,)) for octet in data], transport=transport) == whole
    for item in whole[0]:
        if isinstance(item, Refused):
            assert item.code in CODES
            assert item.data
            assert item.detail
        else:
            assert item.data


@settings(max_examples=200, deadline=None)
@given(line)
def test_no_octet_is_dropped(data: bytes) -> None:
    items, _ = through([data])
    found, sent = octets_of(items).replace(b"\x7e", b""), data.replace(b"\x7e", b"")
    assert len(found) == len(sent) or _repeats(data)
    assert not set(found) - set(sent)


def test_a_segment_before_what_the_end_cuts_off_is_not_dropped() -> None:
    segment = hdlc.frame(CLIENT, METER, hdlc.UI, hdlc.LLC_FROM_SERVER + b"\x0f\x00", segmented=True)
    (lost, cut), _ = through([segment + b"\x7e\xa0\x7e\xa0"])
    assert isinstance(lost, Refused)
    assert isinstance(cut, Refused)
    assert (lost.code, lost.data) == ("frame-segmentation", segment)
    assert (cut.code, cut.data) == ("frame-truncated", b"\xa0\x7e\xa0")


def _repeats(data: bytes) -> bool:
    """Whether an M-Bus segment came twice in a row, which is taken once."""
    return len(octets_of(through([data], transport="MBUS")[0])) < len(data)


@settings(max_examples=100, deadline=None)
@given(st.lists(hdlc_message(), min_size=1, max_size=5), garbage)
def test_what_follows_garbage_is_read(messages: list[bytes], noise: bytes) -> None:
    """At most what noise pretends to announce is lost: the stream falls back to the next start."""
    items, _ = through([noise, *messages], Limits(), "HDLC")
    read = [item for item in items if isinstance(item, Apdu)]
    assert len(read) >= len(messages) - 1 or b"\x7e" in noise
    clean, _ = through(messages, Limits())
    assert read[-1:] == clean[-1:] or b"\x7e" in noise


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_captures_one_after_another(captures_dir: Path, size: int) -> None:
    octets = [bytes.fromhex((captures_dir / "dlms-push" / f"{name}.hex").read_text()) for name in CAPTURES]
    data = b"".join(octets)
    items, _ = through([data[at : at + size] for at in range(0, len(data), size)], Limits())
    assert [item.transport for item in items] == ["HDLC"] * 7 + ["MBUS", "RAW", "RAW"]
    assert all(isinstance(item, Apdu) for item in items)
    assert octets_of(items) == data


@pytest.mark.parametrize("name", CAPTURES)
def test_damaged_captures(captures_dir: Path, name: str) -> None:
    """Each octet wrong in turn: never an exception; a link with a checksum never passes it on."""
    data = bytes.fromhex((captures_dir / "dlms-push" / f"{name}.hex").read_text())
    sound = [item.data for item in through([data], Limits())[0]]
    for at in range(0, len(data), 3):
        wrong = data[:at] + bytes((data[at] ^ 0x55,)) + data[at + 1 :]
        items, _ = through([wrong, data], Limits())
        assert any(isinstance(item, Refused) for item in items) or name.startswith("raw")
        if not name.startswith("raw"):
            assert {item.data for item in items if isinstance(item, Apdu)} <= set(sound)
            assert [item.data for item in items if isinstance(item, Apdu)][-len(sound) :] == sound


def test_garbage_is_refused_in_bounded_pieces() -> None:
    items, _ = through([b"\xff" * 1000])
    assert {type(item) for item in items} == {Refused}
    assert [len(octets_of([item])) for item in items] == [64] * 15 + [40]
    assert {item.code for item in items if isinstance(item, Refused)} == {"frame-garbage"}


def test_pinned_transport_takes_nothing_else() -> None:
    data = wrapper.pack(1, 16, b"\x0f\x01")
    (refused,), _ = through([data], transport="HDLC")
    assert isinstance(refused, Refused)
    assert (refused.code, refused.data, refused.transport) == ("frame-garbage", data, "HDLC")


def test_unknown_transport() -> None:
    with pytest.raises(FramingError, match="HDLC, WRAPPER, MBUS, RAW"):
        PushStream(transport="CARRIER PIGEON")


def test_bare_apdu_inside_a_broken_frame_is_not_believed() -> None:
    inner = bytes.fromhex("DB084142433132333435" "0620000000010F")  # fmt: skip
    frame = hdlc.frame(CLIENT, METER, hdlc.UI, hdlc.LLC_FROM_SERVER + inner)
    items, _ = through([frame[:5] + frame[6:]])
    assert [item.code for item in items if isinstance(item, Refused)] == ["frame-truncated"]
    assert len(items) == 1


def test_repr_shows_no_more_than_it_must() -> None:
    refused = Refused("frame-garbage", "detail", b"secret")
    assert "secret" not in repr(refused)


def test_what_is_cut_off_is_refused_whole_also_where_it_holds_a_flag() -> None:
    cut = bytes.fromhex("0001 0001 0067 00ED DB08 4B41 7EA0 2096 78CD 0325 B1C3".replace(" ", ""))
    stream = PushStream()
    assert stream.feed(cut) == []
    (refused,) = stream.close()
    assert isinstance(refused, Refused)
    assert (refused.code, refused.data) == ("frame-truncated", cut)


@pytest.mark.parametrize("transport", [None, "RAW"])
@pytest.mark.parametrize(
    "octets",
    [
        # both end as the beginning of untagged descriptors, behind octets that are no APDU
        pytest.param("0F00010001041805007EA810010202020001", id="error-before"),
        pytest.param("000F00000001000202010102020002", id="garbage-before"),
    ],
)
def test_what_cannot_be_told_yet_keeps_no_error_back(octets: str, transport: str | None) -> None:
    def items(*pieces: bytes) -> list[Item]:
        stream = PushStream(transport=transport)
        return [item for piece in pieces for item in stream.feed(piece)] + stream.close()

    data = bytes.fromhex(octets)
    assert items(*(data[at : at + 5] for at in range(0, len(data), 5))) == items(data)
