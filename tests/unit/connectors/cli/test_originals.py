"""Letters that hold only a record's first octets: made whole from where the record stands, or left out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from confluent_kafka import Message

from connectors.cli.originals import is_cut, whole
from schemas.records import DeadLetter
from streams.runtime.dead_letters import fitting, too_large_letter
from streams.runtime.kafka import Outgoing
from tests.unit.streams.fakes import FakeMessage

LONG = bytes(range(256)) * 4_096
LETTER = DeadLetter(id="l", code="avro-framing", detail="?", topic="t", partition=0, offset=41, key=b"m1", data=LONG)
CUT = fitting(LETTER)


def finds(message: FakeMessage | None) -> Any:

    def find(*_: Any) -> Message | None:
        return cast("Message | None", message)

    return find


@pytest.mark.parametrize(
    ("letter", "cut"),
    [
        pytest.param(replace(LETTER, data=b"x"), False, id="whole"),
        pytest.param(CUT, True, id="cut"),
        pytest.param(replace(CUT, cut=False), True, id="cut-by-a-release-that-had-no-field-for-it"),
        pytest.param(replace(CUT, cut=False, detail="? (its first octets only)"), True, id="cut-twice-by-such-a-release"),
        pytest.param(fitting(replace(LETTER, data=b"x", headers={"a": bytes(60_000)})), True, id="without-its-headers"),
    ],
)
def test_a_letter_says_whether_it_is_whole(letter: DeadLetter, cut: bool) -> None:
    assert is_cut(letter) is cut


def test_of_a_cut_letter_the_record_is_taken_from_its_place() -> None:
    plain = replace(LETTER, id="p", data=b"x")
    complete, mended, left = whole([plain, CUT], finds(FakeMessage(LONG, at=41, pairs=[("a", b"1")])))
    assert (complete, left) == ([plain], [])
    (letter,) = mended
    assert (letter.id, letter.data, letter.key, letter.headers, letter.cut) == ("l", LONG, b"m1", {"a": b"1"}, False)


@pytest.mark.parametrize(
    ("letter", "message", "why"),
    [
        pytest.param(CUT, None, "no longer at t/0/41: retention or compaction", id="gone"),
        pytest.param(CUT, FakeMessage(LONG, at=42), "no longer at t/0/41", id="compacted-away"),
        pytest.param(CUT, FakeMessage(b"other", at=41), "another record stands at t/0/41", id="other-octets"),
        pytest.param(CUT, FakeMessage(None, at=41), "another record stands at t/0/41", id="tombstone"),
        pytest.param(CUT, FakeMessage(LONG, at=41, name=b"m2"), "another record stands at t/0/41", id="other-key"),
        pytest.param(
            too_large_letter("split", Outgoing("hes.alarms", b"m1", LONG), "too large", 7),
            None,
            "hes.alarms never took it, and nobody has the rest: raise the topic's max.message.bytes",
            id="never-written",
        ),
        pytest.param(
            fitting(DeadLetter(endpoint="tcp://10.0.0.1:4059", data=LONG)),
            None,
            "it came from tcp://10.0.0.1:4059, and nobody has the rest: read the meter again",
            id="from-a-socket",
        ),
    ],
)
def test_one_that_cannot_be_made_whole_is_left_out(letter: DeadLetter, message: FakeMessage | None, why: str) -> None:
    complete, mended, (left,) = whole([letter], finds(message))
    assert (complete, mended, left.letter) == ([], [], letter)
    assert why in left.why
