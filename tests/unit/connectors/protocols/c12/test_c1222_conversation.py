"""Answers are read by what they answer, segments as the message they make, in whatever order they are looked at."""

from __future__ import annotations

import pytest

from connectors.protocols.c12.c1222_conversation import Conversation
from connectors.protocols.c12.c1222_segments import Limits, cut
from connectors.protocols.c12.decode import View
from connectors.protocols.c12.requests import ReadFull, WriteFull
from connectors.protocols.c12.responses import TableData
from connectors.protocols.c12.titles import title
from tests.unit.connectors.protocols.c12.messages import CIPHERED, HES, KEYS, METER, request, response

ASKED, SAID = ReadFull(42), TableData(b"TOP-SECRET")
RELATIVE = title(".9")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (request(ASKED, invocation=7), response(SAID, to=7)),
        (request(ASKED, invocation=7), response(SAID, to=None, invocation=7)),
        (request(ASKED, invocation=7, seal_with=CIPHERED), response(SAID, to=7, seal_with=CIPHERED)),
        (request(ASKED, called=RELATIVE), response(SAID, calling=title("2.16.124.113620.1.22.0.9"))),
    ],
    ids=["by its id", "under the request's own id", "ciphered", "titles in two forms"],
)
def test_an_answer_is_read_by_its_request(asked: bytes, said: bytes) -> None:
    talk = Conversation(View(KEYS))
    talk.node(asked)
    node = talk.node(said)
    assert node.find("table data") is not None
    assert node.find("error") is None
    assert talk.requests(said) == (b"\x30\x00\x2a",)
    assert b"TOP-SECRET" not in talk.masked(said)


@pytest.mark.parametrize(
    "said",
    [response(SAID, to=8), response(SAID, calling=HES), b"\x60\x80", request(ASKED, invocation=7)],
    ids=["another id", "another node", "no message", "a request"],
)
def test_what_answers_nothing(said: bytes) -> None:
    talk = Conversation()
    talk.learn(request(ASKED, invocation=7))
    assert talk.requests(said) == ()
    assert talk.node(said).name == "C12.22 message"


def test_answers_before_their_requests() -> None:
    messages = [response(SAID), request(ASKED)]
    talk = Conversation()
    for message in messages:
        talk.learn(message)
    assert talk.node(messages[0]).find("table data") is not None


def test_only_the_last_requests_are_kept() -> None:
    talk = Conversation(most=2)
    for number in (1, 2, 3):
        talk.learn(request(ASKED, invocation=number))
    assert [bool(talk.requests(response(SAID, to=number))) for number in (1, 2, 3)] == [False, True, True]


def test_segments_show_the_message_they_make() -> None:
    pieces = cut(request(WriteFull(64, bytes(range(200))), seal_with=CIPHERED), 120)
    talk = Conversation(View(KEYS))
    nodes = [talk.node(piece) for piece in pieces]
    assert [node.find("message in segments") is not None for node in nodes] == [False] * (len(pieces) - 1) + [True]
    whole = nodes[-1].find("message in segments")
    assert whole is not None
    data = whole.find("table data")
    assert data is not None
    assert data.octets == bytes(range(200))


def test_segments_that_contradict_each_other() -> None:
    talk = Conversation(limits=Limits(message_octets=100))
    node = talk.node(cut(request(WriteFull(64, bytes(200)), called=METER), 120)[0])
    error = node.find("error")
    assert error is not None
    assert error.value.startswith("c1222-oversized")
