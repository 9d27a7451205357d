"""Messages cut and put together, against a published stack's segments; contradictions, limits, age."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.c12 import acse
from connectors.protocols.c12.c1222_security import open_
from connectors.protocols.c12.c1222_segments import Limits, Lost, Segments, cut
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.requests import ReadFull, WriteFull
from connectors.protocols.c12.titles import title
from tests.unit.connectors.protocols.c12.messages import CIPHERED, KEYS, METER, request

# The standard's example 8, cut to 64 octets by the C12.22 stack that Itron published in 2009 (which put ours together, too).
_HEAD = "a20480027b04a30302014aa60580037bc175a803020103be"
PUBLISHED = (
    f"603d{_HEAD}242822020100811d" + "6048a20480027b04a403020103a60580037bc175a803020103ac0fa20d",
    f"603d{_HEAD}24282202011d811d" + "a00ba109800102810448f3d060be1e281c811a884baee4349631ab5e56",
    f"6030{_HEAD}17281502013a8110" + "a0e6e0e90dfad558591ee4ea334cb268",
)
WHOLE = request(WriteFull(64, bytes(range(200))), seal_with=CIPHERED)
PIECES = cut(WHOLE, 150)


def taken(segments: Segments, *octets: bytes, now: float = 0.0) -> list[bytes | None]:
    return [segments.take(each, now) for each in octets]


def code(segments: Segments, octets: bytes, now: float = 0.0) -> str:
    with pytest.raises(C12Error) as caught:
        segments.take(octets, now)
    return caught.value.code


def changed(octets: bytes, **fields: object) -> bytes:
    return acse.encode(replace(acse.decode(octets), **fields))  # type: ignore[arg-type]  # a table's row


def test_segments_of_a_published_stack() -> None:
    pieces = [bytes.fromhex(piece) for piece in PUBLISHED]
    first, second, whole = taken(Segments(), *pieces)
    assert (first, second) == (None, None)
    assert whole is not None
    assert open_(whole, KEYS).services == (b"\x00\x00\x10MANUFACTURER SN \x92",)
    assert [acse.encode(acse.decode(piece)) for piece in pieces] == pieces


@pytest.mark.parametrize("order", list(permutations(range(len(PIECES)))), ids=str)
def test_any_order(order: tuple[int, ...]) -> None:
    assert len(PIECES) == 4
    found = taken(Segments(), *(PIECES[place] for place in order))
    assert found == [None, None, None, WHOLE]


def test_what_is_cut_is_no_longer_than_asked_and_says_whose_it_is() -> None:
    for piece in PIECES:
        apdu, whole = acse.decode(piece), acse.decode(WHOLE)
        assert len(piece) <= 150
        assert apdu.size == len(WHOLE)
        assert (apdu.called, apdu.calling, apdu.calling_invocation, apdu.context) == (
            whole.called, whole.calling, whole.calling_invocation, whole.context)  # fmt: skip
        assert (apdu.called_invocation, apdu.authentication, apdu.mechanism) == (None, None, None)


def test_segments_that_come_twice_or_overlap() -> None:
    assert taken(Segments(), PIECES[0], PIECES[0], *cut(WHOLE, 90), PIECES[3])[-2:] == [WHOLE, None]


def test_a_message_in_one_piece_passes() -> None:
    assert Segments().take(WHOLE, 0.0) is WHOLE
    assert cut(WHOLE, len(WHOLE)) == (WHOLE,)


def test_messages_of_others_in_between() -> None:
    other = request(WriteFull(64, bytes(150)), invocation=99)
    first, second, third = cut(other, 150)
    mixed = (PIECES[0], second, PIECES[1], first, PIECES[2], third, PIECES[3])
    assert [each for each in taken(Segments(), *mixed) if each] == [other, WHOLE]


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (changed(PIECES[1], size=len(WHOLE) + 1), "c1222-segment"),
        (changed(PIECES[1], offset=5), "c1222-segment"),
        (changed(PIECES[0], information=b"\x61" * 20), "c1222-segment"),
        (changed(PIECES[1], offset=len(WHOLE)), "c1222-segment"),
        (changed(PIECES[1], offset=None), "c1222-segment"),
        (changed(PIECES[1], information=b""), "c1222-segment"),
        (changed(PIECES[1], information=None, offset=None), "c1222-segment"),
        (changed(PIECES[1], size=70_000), "c1222-oversized"),
        (changed(PIECES[1], size=2**32 - 1, offset=2**32 - 2), "c1222-oversized"),
    ],
    ids=["another size", "other octets", "other octets in the same place", "beyond the end", "no offset", "no octets",
         "no user information", "too large", "far too large"],
)  # fmt: skip
def test_contradictions(octets: bytes, expected: str) -> None:
    segments = Segments()
    segments.take(PIECES[0], 0.0)
    assert code(segments, octets) == expected


def test_a_contradiction_ends_its_message_and_no_other() -> None:
    other = cut(request(WriteFull(64, bytes(150)), invocation=99), 128)
    segments = Segments()
    taken(segments, PIECES[0], other[0])
    code(segments, changed(PIECES[1], offset=5))
    assert taken(segments, *other[1:])[-1] is not None
    assert segments.held == 0


@pytest.mark.parametrize(
    "whole",
    [b"\x60\x81\xc8" + bytes(200), request(ReadFull(1), ReadFull(2), invocation=1), request(ReadFull(1), calling=METER)],
    ids=["no message", "another invocation", "another title"],
)
def test_segments_that_make_another_message(whole: bytes) -> None:
    frame = acse.decode(PIECES[0])
    segments = Segments()
    assert code(segments, acse.encode(replace(frame, size=len(whole), offset=0, information=whole))) == "c1222-segment"
    assert segments.held == 0


def test_a_message_that_never_becomes_whole() -> None:
    segments = Segments(Limits(age_s=60))
    taken(segments, *PIECES[:3], now=100.0)
    assert segments.expire(160.0) == []
    (lost,) = segments.expire(160.1)
    assert isinstance(lost, Lost)
    assert (lost.code, lost.segments) == ("c1222-segments-incomplete", PIECES[:3])
    assert METER.text not in lost.detail  # the head-end sent it
    assert f"of {len(WHOLE)} octets" in lost.detail
    assert (segments.held, segments.close()) == (0, [])


def test_the_connection_ends() -> None:
    segments = Segments()
    segments.take(PIECES[2], 0.0)
    assert [lost.code for lost in segments.close()] == ["c1222-segments-incomplete"]
    assert segments.held == 0


@pytest.mark.parametrize("limits", [Limits(messages=2), Limits(octets=2 * len(WHOLE))], ids=["number of messages", "octets"])
def test_limits(limits: Limits) -> None:
    segments = Segments(limits)
    others = [cut(request(WriteFull(64, bytes(range(200))), invocation=number), 128)[0] for number in (1, 2, 3)]
    segments = Segments(limits)
    taken(segments, *others[:2])
    assert code(segments, others[2]) == "c1222-segments-limit"
    segments.expire(61.0)
    assert segments.take(others[2], 61.0) is None


def test_the_number_of_pieces_is_bounded() -> None:
    segments = Segments(Limits(pieces=3))
    taken(segments, *([PIECES[0]] * 3))
    assert code(segments, PIECES[0]) == "c1222-segments-limit"


def test_relative_and_absolute_titles_of_one_node_are_one() -> None:
    whole = request(WriteFull(64, bytes(100)), calling=title(".5"))
    pieces = cut(whole, 100)
    other = changed(pieces[1], calling=title("2.16.124.113620.1.22.0.5"))
    assert taken(Segments(), pieces[0], other, *pieces[2:])[-1] == whole


def test_no_room() -> None:
    with pytest.raises(ValueError, match="at least 8"):
        cut(WHOLE, 60)


@given(st.binary(min_size=1, max_size=3000), st.integers(80, 400), st.randoms())
def test_any_message_any_size_any_order(data: bytes, most: int, random: object) -> None:
    whole = request(WriteFull(64, data), seal_with=CIPHERED)
    pieces = list(cut(whole, most))
    assert all(len(piece) <= most for piece in pieces)
    random.shuffle(pieces)  # type: ignore[attr-defined]  # hypothesis' own Random
    assert [each for each in taken(Segments(), *pieces) if each] == [whole]
