"""Sessions against a node that answers right, late, wrongly, in segments, in clear, or not at all; answers and notices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import TypeVar

import pytest

from connectors.protocols.c12 import acse
from connectors.protocols.c12.c1222_messages import Kind, answer, known_context, message_of, notify
from connectors.protocols.c12.c1222_replay import Replays
from connectors.protocols.c12.c1222_security import Policy, Seal, open_
from connectors.protocols.c12.c1222_segments import Segments, cut
from connectors.protocols.c12.c1222_services import Request, Response, decode_request
from connectors.protocols.c12.c1222_session import CLOSED, Client, Node, Session, all_ok, messages
from connectors.protocols.c12.epsem import Mode, Respond
from connectors.protocols.c12.errors import C12Error, FramingError, PeerError
from connectors.protocols.c12.psem_session import read_table
from connectors.protocols.c12.requests import Identify, ReadFull, ReadOffset, WriteFull
from connectors.protocols.c12.responses import BSY, ISC, SME, Done, Identified, Refused, TableData
from connectors.protocols.c12.titles import C1222_CONTEXT, title
from tests.unit.connectors.protocols.c12.messages import (
    CIPHERED,
    HES,
    KEY,
    KEY_ID,
    KEYS,
    METER,
    REQUESTS,
    RESPONSES_OK,
    notification,
    request,
    response,
)

T = TypeVar("T")
ASKED = (ReadFull(1), ReadFull(2))
SAID = (TableData(b"first"), TableData(b"second"))
Answering = Callable[[bytes], Sequence[bytes | Exception]]


def client(mode: Mode = Mode.CLEAR, key: bytes | None = None, replays: Replays | None = None, **fields: object) -> Client:
    ids, ivs = count(7), count(1000)
    node = Node(METER, HES, mode, key, KEY_ID, **fields)  # type: ignore[arg-type]  # a table's row
    return Client(node, lambda: next(ids), lambda: next(ivs).to_bytes(4, "big"), replays)


def run(session: Session[T], answering: Answering) -> tuple[T, list[bytes]]:
    """Drive a session to its end: its result, and what it sent."""
    sent: list[bytes] = []
    waiting: list[bytes | Exception] = []
    octets = next(session)
    try:
        while True:
            if octets:
                sent.append(octets)
                waiting += answering(octets)
            came = waiting.pop(0)
            octets = session.throw(came) if isinstance(came, Exception) else session.send(came)
    except StopIteration as ended:
        return ended.value, sent


def failed(session: Session[T], answering: Answering) -> C12Error:
    with pytest.raises(C12Error) as caught:
        run(session, answering)
    return caught.value


def node(*said: Response, mode: Mode = Mode.CLEAR, key: bytes = KEY, key_id: int = KEY_ID, iv: int = 5) -> Answering:
    """One that answers each request with the same."""

    def answering(octets: bytes) -> list[bytes]:
        asked = open_(octets, lambda _title, _id: KEY, either=True)
        secured = None if mode is Mode.CLEAR else Seal(mode, key, key_id, iv.to_bytes(4, "big"))
        made = answer(asked, said, invocation=900, seal_with=secured)
        return [] if made is None else [made]

    return answering


@pytest.mark.parametrize("mode", Mode)
def test_several_services_in_one_message(mode: Mode) -> None:
    responses, sent = run(client(mode, KEY).request(ASKED), node(*SAID, mode=mode))
    assert responses == tuple(TableData(said.data, sum_of(said.data)) for said in SAID)
    assert len(sent) == 1
    assert [decode_request(service) for service in open_(sent[0], KEYS).services] == list(ASKED)
    assert open_(sent[0], KEYS).mode is mode


def sum_of(data: bytes) -> int:
    return -sum(data) & 0xFF


def test_ids_rise_and_ivs_never_repeat() -> None:
    talker = client(Mode.CIPHERED, KEY)
    opened = [open_(run(talker.request(ASKED), node(*SAID, mode=Mode.CIPHERED))[1][0], KEYS) for _ in range(3)]
    assert [each.apdu.calling_invocation for each in opened] == [7, 8, 9]
    assert len({each.iv for each in opened}) == 3


def test_context_class_qualifier_and_proxy_are_sent_as_the_node_wants() -> None:
    talker = client(context=C1222_CONTEXT, ed_class=b"TEMP", proxy=True)
    (octets,) = run(talker.request(ASKED, qualifier=acse.TEST), node(*SAID))[1]
    opened = open_(octets, KEYS)
    assert (opened.apdu.context, opened.apdu.qualifier, opened.body.ed_class, opened.control.proxy) == (
        C1222_CONTEXT, acse.TEST, b"TEMP", True)  # fmt: skip


@pytest.mark.parametrize(
    "strays",
    [
        [response(*SAID, to=6)],
        [response(*SAID, to=6)] * 15,
        [notification(WriteFull(76, b"\1"))],
        [response(*SAID, calling=title("1.3.6.1.4.1.9"))],
        [request(*ASKED)],
        [response(*SAID, to=None, invocation=8)],
    ],
    ids=["a late answer", "many", "a notification", "another node's answer", "our own request", "another id without A4"],
)
def test_strays_are_passed_over(strays: list[bytes]) -> None:
    responses, sent = run(client().request(ASKED), lambda octets: [*strays, *node(*SAID)(octets)])
    assert (len(responses), len(sent)) == (2, 1)


def test_an_answer_under_the_requests_own_id() -> None:
    assert len(run(client().request(ASKED), lambda _: [response(*SAID, to=None, invocation=7)])[0]) == 2


@pytest.mark.parametrize("size", [90, 100, 4096])
def test_requests_and_answers_in_segments(size: int) -> None:
    written, read = WriteFull(64, bytes(range(200))), TableData(bytes(300))
    came = []

    def answering(octets: bytes) -> list[bytes]:
        segments = Segments()
        came.append(len(messages(octets)))
        whole = [each for each in (segments.take(piece, 0.0) for piece in messages(octets)) if each]
        made = answer(open_(whole[0], KEYS), (Done(), read), invocation=900, seal_with=CIPHERED)
        return list(reversed(cut(made or b"", size)))

    talker = client(Mode.CIPHERED, KEY, largest=size)
    responses, _ = run(talker.request((written, ReadFull(1))), answering)
    assert responses == (Done(), TableData(bytes(300), 0))
    assert (came[0] > 1) == (size < 4096)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ((Refused(ISC),), "psem-response"),
        ((TableData(b"first"), Refused(BSY)), "psem-response"),
        (SAID, None),
    ],
    ids=["the first, so no other", "the second", "none"],
)
def test_refusals(said: tuple[Response, ...], error: str | None) -> None:
    responses, _ = run(client().request(ASKED), node(*said))
    assert len(responses) == len(said)
    if error is None:
        assert all_ok(responses, ASKED, "tables 1 and 2") == responses
        return
    with pytest.raises(PeerError) as caught:
        all_ok(responses, ASKED, "tables 1 and 2")
    assert (caught.value.code, caught.value.retry) == (error, said[-1] == Refused(BSY))
    assert f"service {len(said)} of 2" in caught.value.detail


def test_security_that_is_not_answered_went_well() -> None:
    """As in the standard's example 8: two requests, and the one response is the read's."""
    asked = (REQUESTS["security"], *ASKED)
    said = run(client().request(ASKED), node(*SAID))[0]
    assert run(client().request(asked), node(*SAID))[0] == (Done(), *said)
    assert run(client().request((*ASKED, REQUESTS["security"])), node(*SAID))[0] == (*said, Done())
    assert run(client().request(asked), node(Refused(ISC)))[0] == (Refused(ISC),)


@pytest.mark.parametrize(
    ("answering", "mode", "error"),
    [
        (lambda _: [CLOSED], Mode.CLEAR, "peer-closed"),
        (lambda _: [response(*SAID, to=6)] * 16, Mode.CLEAR, "peer-unexpected"),
        (lambda _: [response(*SAID, *SAID)], Mode.CLEAR, "peer-unexpected"),
        (lambda _: [response(SAID[0])], Mode.CLEAR, "peer-unexpected"),
        (lambda _: [response(Identified(3, 1, 0))], Mode.CLEAR, "psem-truncated"),
        (lambda _: [b"\x60\x80"], Mode.CLEAR, "c1222-ber"),
        (lambda _: [FramingError("link-timeout", "nothing came")], Mode.CLEAR, "link-timeout"),
        (node(*SAID, mode=Mode.AUTHENTICATED), Mode.CIPHERED, "c1222-policy"),
        (node(*SAID), Mode.CIPHERED, "c1222-policy"),
        (node(*SAID, mode=Mode.CIPHERED, key=bytes(16)), Mode.CIPHERED, "c1222-authentication"),
        (node(*SAID, mode=Mode.CIPHERED, key_id=3), Mode.CIPHERED, "c1222-key-missing"),
    ],
    ids=["closed", "strays only", "more responses", "fewer, none refused", "another service's response", "no message",
         "silence", "less protected", "in clear", "another key", "another key id"],
)  # fmt: skip
def test_what_goes_wrong(answering: Answering, mode: Mode, error: str) -> None:
    assert failed(client(mode, KEY).request(ASKED), answering).code == error


def test_a_refusal_in_clear_is_told_and_not_believed() -> None:
    error = failed(client(Mode.CIPHERED, KEY).request(ASKED), node(Refused(SME)))
    assert error.code == "c1222-policy"
    assert "sme (security mechanism error)" in error.detail


def test_an_answer_played_again() -> None:
    talker = client(Mode.CIPHERED, KEY, Replays())
    run(talker.request(ASKED), node(*SAID, mode=Mode.CIPHERED))
    assert failed(talker.request(ASKED), node(*SAID, mode=Mode.CIPHERED)).code == "c1222-replay"
    assert len(run(talker.request(ASKED), node(*SAID, mode=Mode.CIPHERED, iv=6))[0]) == 2


# -- response control -------------------------------------------------------------------------------------------------


def test_answered_on_exception_only() -> None:
    silence = FramingError("link-timeout", "nothing came")
    assert run(client().request(ASKED, Respond.ON_EXCEPTION), lambda _: [silence])[0] == ()
    assert run(client().request(ASKED, Respond.ON_EXCEPTION), node(Refused(ISC)))[0] == (Refused(ISC),)
    assert failed(client().request(ASKED, Respond.ON_EXCEPTION), lambda _: [CLOSED]).code == "peer-closed"


def test_never_answered() -> None:
    octets = client().one_way(ASKED)
    assert message_of(open_(octets, KEYS)).kind is Kind.ONE_WAY
    assert node(*SAID)(octets) == []
    with pytest.raises(ValueError, match="one_way"):
        next(client().request(ASKED, Respond.NEVER))


@pytest.mark.parametrize(
    ("respond", "said", "answered"),
    [
        (Respond.ALWAYS, (Done(),), True),
        (Respond.ON_EXCEPTION, (Done(),), False),
        (Respond.ON_EXCEPTION, (Done(), Refused(ISC)), True),
        (Respond.NEVER, (Refused(ISC),), False),
    ],
)
def test_whether_to_answer(respond: Respond, said: tuple[Response, ...], answered: bool) -> None:
    asked = open_(request(*ASKED, respond=respond), KEYS)
    assert (answer(asked, said, invocation=1) is not None) == answered


def test_an_answer_goes_back_to_who_asked() -> None:
    asked = open_(request(*ASKED, ed_class=b"TEMP"), KEYS)
    back = open_(answer(asked, SAID, invocation=55, seal_with=CIPHERED) or b"", KEYS)
    assert (back.apdu.called, back.apdu.calling, back.apdu.called_invocation, back.apdu.calling_invocation) == (
        HES,
        METER,
        7,
        55,
    )
    assert (back.body.ed_class, back.answer) == (b"TEMP", True)


# -- sessions of C12.18 over C12.22 -----------------------------------------------------------------------------------


def test_a_session_of_single_services_is_carried() -> None:
    data, sent = run(
        client(Mode.CIPHERED, KEY).carry(read_table(1, 16, 16)), node(TableData(b"MANUFACTURER SN "), mode=Mode.CIPHERED)
    )
    assert data == b"MANUFACTURER SN "
    assert decode_request(open_(sent[0], KEYS).services[0]) == ReadOffset(1, 16, 16)


def test_what_goes_wrong_below_is_thrown_into_what_is_carried() -> None:
    def patient() -> Session[str]:
        try:
            yield b"\x20"
        except C12Error as error:
            return error.code
        return ""

    assert run(client().carry(patient()), lambda _: [CLOSED])[0] == "peer-closed"


# -- what comes unasked -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "kind", "wants_answer"),
    [
        (notification(WriteFull(76, b"\1")), Kind.NOTIFICATION, False),
        (request(WriteFull(0x1000 | 74, b"\1")), Kind.NOTIFICATION, True),
        (request(WriteFull(2048 + 74, b"\1"), qualifier=acse.NOTIFICATION), Kind.NOTIFICATION, True),
        (request(WriteFull(2048 + 74, b"\1")), Kind.REQUEST, True),
        (request(WriteFull(64, b"\1"), respond=Respond.NEVER), Kind.ONE_WAY, False),
        (request(Identify(), respond=Respond.ON_EXCEPTION), Kind.REQUEST, False),
        (request(REQUESTS["register"]), Kind.REGISTRATION, True),
        (request(REQUESTS["deregister"]), Kind.DEREGISTRATION, True),
        (response(*SAID), Kind.ANSWER, False),
    ],
    ids=["a log", "a pending log", "the sender says so", "a manufacturer table", "one-way", "on exception", "register",
         "deregister", "answer"],
)  # fmt: skip
def test_kinds(octets: bytes, kind: Kind, wants_answer: bool) -> None:
    message = message_of(open_(octets, KEYS))
    assert (message.kind, message.wants_answer) == (kind, wants_answer)


def test_a_notification() -> None:
    message = message_of(open_(notification(WriteFull(76, bytes(20)), seal_with=CIPHERED), KEYS))
    assert (message.urgent, message.notification, message.test, message.acts) == (True, True, False, True)
    assert [write.table for write in message.writes] == [76]
    assert message.opened.body.ed_class == b"TEMP"


@pytest.mark.parametrize(
    ("octets", "policy"),
    [
        (request(REQUESTS["register"], qualifier=acse.TEST), Policy()),
        (notification(WriteFull(76, b"\1"), seal_with=CIPHERED), Policy()),
        (notification(WriteFull(76, bytes(40))), Policy(clear_acts=False)),
    ],
    ids=["a test", "too short for EAX'", "in clear"],
)
def test_messages_that_cause_nothing(octets: bytes, policy: Policy) -> None:
    assert not message_of(open_(octets, KEYS, policy)).acts


def test_notify_is_what_a_meter_sends() -> None:
    made = notify(acse.Apdu(HES, METER, 8, qualifier=acse.NOTIFICATION | acse.URGENT), [WriteFull(76, b"\1")], CIPHERED,
                  ed_class=b"TEMP")  # fmt: skip
    assert made == notification(WriteFull(76, b"\1"), seal_with=CIPHERED)


def test_contexts() -> None:
    assert [known_context(acse.Apdu(context=context)) for context in (None, C1222_CONTEXT, title("1.3"))] == [
        True,
        True,
        False,
    ]


def test_a_key_is_wanted_where_the_mode_wants_one() -> None:
    with pytest.raises(ValueError, match="16 octets"):
        Node(METER, HES, Mode.CIPHERED)
    assert KEY.hex() not in repr(Node(METER, HES, Mode.CIPHERED, KEY))
    assert repr(KEY) not in repr(Node(METER, HES, Mode.CIPHERED, KEY))


@pytest.mark.parametrize("name", RESPONSES_OK)
def test_every_service_in_a_session(name: str) -> None:
    asked, said = RESPONSES_OK[name]
    responses, _ = run(client().request([asked]), node(said))
    assert type(responses[0]) is type(said)


def test_requests_are_typed() -> None:
    asked: list[Request] = [Identify()]
    assert message_of(open_(request(*asked), KEYS)).requests == (Identify(),)
