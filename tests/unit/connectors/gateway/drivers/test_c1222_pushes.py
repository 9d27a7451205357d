"""What C12.22 meters tell unasked: whose it is, whether it proves itself, what is written and what is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from connectors.gateway.drivers.c12_known import Known
from connectors.gateway.drivers.c12_operations import perform, steps
from connectors.gateway.drivers.c1222_hearing import C1222Conversation, message_pushes
from connectors.gateway.drivers.c1222_numbers import Numbers, Windows
from connectors.gateway.drivers.c1222_pushes import Pushes, PushTools
from connectors.gateway.drivers.port import Found
from connectors.gateway.keystore import MeterKeys
from connectors.gateway.pipeline import Push
from connectors.protocols.c12 import responses
from connectors.protocols.c12.c1222_security import Opened, Policy, Short, open_
from connectors.protocols.c12.c1222_segments import cut
from connectors.protocols.c12.c1222_services import END_DEVICE, Deregister, Register, Registered, decode_response
from connectors.protocols.c12.epsem import Mode, Respond
from connectors.protocols.c12.requests import Identify, Request, Security, WriteFull, WriteIndex, WriteOffset
from connectors.protocols.c12.responses import Refused
from connectors.protocols.c12.titles import title
from connectors.templates.c12_template import C12Template, LogonTemplate, MessageTemplate
from schemas.records import Alarm, Identity, IdentityKind, Meter, MeterState, Operation, Protocol
from streams.runtime.clock import ManualClock
from tests.unit.connectors.gateway.builders import ENDPOINT, NOW, FakeKeys, pipeline
from tests.unit.connectors.gateway.drivers.c12_meter import (
    EVENTS,
    KEY,
    KEY_ID,
    SERIAL,
    START,
    TITLE,
    MessageMeter,
    drive,
    tables,
)
from tests.unit.connectors.gateway.drivers.test_c12_operations import Bench as Reading

RING = bytes((KEY_ID,)) + KEY
ASSUMED = {number: tables()[number] for number in (0, 71)}
OTHER = title("2.16.124.113620.1.22.0.123.9999")
HEAD = tables()[76][:11]


def template(**more: Any) -> C12Template:
    return C12Template("t", logon=LogonTemplate(c1222="NONE"), assumed=ASSUMED, messages=MessageTemplate(**more))


def ap(text: str) -> Identity:
    return Identity(IdentityKind.AP_TITLE, text)


def meter(meter_id: str = "m1", *identities: Identity, **more: Any) -> Meter:
    known = identities or (ap(TITLE.text),)
    given: dict[str, Any] = {"protocol": Protocol.C1222, "state": MeterState.NORMAL, "template": "t", "key_ref": "ring"}
    return Meter(id=meter_id, identities=known, **(given | more))


class Bench:
    """Meters that are registered, and what is made of what they say."""

    def __init__(self, *meters: Meter, keys: FakeKeys | None = None, **messages: Any) -> None:
        self.known = Known()
        store = keys or FakeKeys({"ring": MeterKeys(eax=RING)})
        clock = ManualClock(NOW)
        tools = PushTools(
            pipeline(*(meters or (meter(),)), keys=store), store, {"t": template(**messages)}, self.known,
            Numbers(clock), Windows(), 3_600, 100,
        )  # fmt: skip
        self.pushes = Pushes(tools)

    def hear(self, *messages: bytes, endpoint: str = ENDPOINT, at: int = NOW) -> list[Push]:
        return [push for message in messages for push in message_pushes(self.pushes, message, endpoint, at)]

    def one(self, message: bytes, **more: Any) -> Push:
        (push,) = self.hear(message, **more)
        return push


def alarms(push: Push) -> list[tuple[str, str, str]]:
    return [(item.kind.value, item.severity.value, item.code) for item in push.events if isinstance(item, Alarm)]


def opened(reply: bytes) -> Opened:
    return open_(reply, lambda _title, key_id: KEY if key_id == KEY_ID else None, Policy())


OUTAGE, DOUBTED = ("OUTAGE", "CRITICAL", "1"), ("OUTAGE", "INFO", "1")
ENTRY = [WriteOffset(76, 11, EVENTS[0])]
Writes = Sequence[Request]
HEARD: dict[str, tuple[Mode, Writes, dict[str, Any], list[tuple[str, str, str]]]] = {
    "proven": (Mode.AUTHENTICATED, ENTRY, {"mode": Mode.AUTHENTICATED}, [OUTAGE]),
    "ciphered": (Mode.CIPHERED, ENTRY, {"mode": Mode.AUTHENTICATED}, [OUTAGE]),
    "in-clear": (Mode.CLEAR, ENTRY, {}, [DOUBTED]),
    "in-clear-and-trusted": (Mode.CLEAR, ENTRY, {"trust_clear": True}, [OUTAGE]),
    "by-index": (Mode.CIPHERED, [WriteIndex(76, (5, 3), EVENTS[0])], {}, [OUTAGE]),
    "two-entries-by-offset": (
        Mode.CIPHERED, [WriteOffset(76, 11, EVENTS[0] + EVENTS[1])], {}, [OUTAGE, ("RESTORATION", "INFO", "2")],
    ),
    "head-and-an-entry-by-offset": (Mode.CIPHERED, [WriteOffset(76, 0, HEAD + EVENTS[0])], {}, [OUTAGE]),
    "head-and-one-entry-as-the-whole": (Mode.CIPHERED, [WriteFull(76, HEAD + EVENTS[0])], {}, [OUTAGE]),
    "the-whole-log": (
        Mode.CIPHERED, [WriteFull(76, tables()[76])], {},
        [OUTAGE, ("RESTORATION", "INFO", "2"), ("UNKNOWN", "WARNING", "2053")],
    ),
    "pending-bit-and-two-tables": (
        Mode.CIPHERED, [WriteOffset(0x1000 | 76, 11, EVENTS[0]), WriteFull(74, tables()[74])], {}, [OUTAGE, OUTAGE],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("mode", "requests", "messages", "expected"), HEARD.values(), ids=HEARD)
def test_entries_of_logs(
    mode: Mode, requests: Sequence[Request], messages: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    push = Bench(**messages).one(MessageMeter().notify(requests, mode))
    assert (alarms(push), push.letter) == (expected, None)
    assert push.meter_id == push.frames.meter_id == "m1"
    assert push.authenticated is (mode is not Mode.CLEAR)
    assert push.frames.protocol is Protocol.C1222
    assert push.reply == b""


@pytest.mark.parametrize(
    ("short", "severity", "letter"),
    [(Short.READ, "INFO", None), (Short.ACT, "CRITICAL", None), (Short.REFUSE, None, "c1222-short-cleartext")],
    ids=lambda value: str(getattr(value, "name", value)),
)
def test_what_eax_does_not_protect_is_as_heavy_as_the_policy_says(
    short: Short, severity: str | None, letter: str | None
) -> None:
    """A history entry without time or argument: user and code, fourteen octets with its service."""
    small = {**ASSUMED, 71: bytes((0, 10, 0, 0, 0, 3, 0, 6, 0))}
    bench = Bench(short=short, mode=Mode.CIPHERED)
    tools = bench.pushes._tools
    bench.pushes = Pushes(replace(tools, templates={"t": replace(tools.templates["t"], assumed=small)}))
    message = MessageMeter().notify([WriteOffset(74, 11, b"\0\0\1\0")], Mode.CIPHERED)
    assert len(opened(message).plain) <= 16
    push = bench.one(message)
    assert [item.severity.value for item in push.events if isinstance(item, Alarm)] == ([severity] if severity else [])
    assert (push.letter.code if push.letter else None) == letter


def test_a_test_is_no_outage() -> None:
    push = Bench().one(MessageMeter().notify(ENTRY, Mode.CIPHERED, qualifier=5))
    assert alarms(push) == [DOUBTED]
    assert isinstance(push.events[0], Alarm)
    assert push.events[0].detail.endswith("sent as a test")


def test_a_notification_that_wants_an_answer_has_one_in_its_own_mode() -> None:
    push = Bench().one(MessageMeter().notify(ENTRY, Mode.CIPHERED, respond=Respond.ALWAYS))
    answer = opened(push.reply)
    assert (answer.mode, answer.services, answer.apdu.called) == (Mode.CIPHERED, (b"\0",), TITLE)


def test_the_same_event_has_one_id_however_it_is_told() -> None:
    bench = Bench()
    ways: tuple[Writes, ...] = (ENTRY, [WriteFull(76, tables()[76])], [WriteIndex(76, (5, 2), EVENTS[0])])
    told = [
        bench.one(MessageMeter(iv=START + at).notify(requests, Mode.CIPHERED)).events[0].id
        for at, requests in enumerate(ways)
    ]
    assert len(set(told)) == 1


def test_what_a_meter_of_the_type_has_told_is_what_notifications_are_read_by() -> None:
    bench = Bench(meter(), meter("m2", ap(OTHER.text)))
    tools = bench.pushes._tools
    bench.pushes = Pushes(replace(tools, templates={"t": replace(tools.templates["t"], assumed={})}))
    gasp = MessageMeter(own=OTHER).notify(ENTRY, Mode.CIPHERED)
    refused = bench.one(gasp)
    assert refused.letter is not None
    assert refused.letter.code == "table-prerequisite"
    reading = Reading()
    order = replace(reading.order(Operation.READ_EVENT_LOG), meter=meter(), known=bench.known)
    found = Found()
    for step in steps(order, found):
        drive(perform(step, reading.access, order, found), reading.meter.exchange)
    assert alarms(bench.one(gasp)) == [OUTAGE]


# -- registrations ---------------------------------------------------------------------------------------------------------


def registration(own: str = TITLE.text, serial: str = SERIAL.text, mode: Mode = Mode.AUTHENTICATED) -> bytes:
    node = Register(END_DEVICE, 0, b"TEST", title(own), title(serial), b"", 600)
    return MessageMeter(own=title(own)).notify([node], mode, respond=Respond.ALWAYS, qualifier=0)


def test_a_meter_that_is_known_registers_again() -> None:
    push = Bench(mode=Mode.AUTHENTICATED).one(registration())
    assert (alarms(push), push.announced, push.letter) == ([("COMMUNICATION", "INFO", "registered")], None, None)
    assert decode_response(opened(push.reply).services[0], Register.code) == Registered(TITLE, 0, 600, 1)


@pytest.mark.parametrize("mode", [Mode.CLEAR, Mode.AUTHENTICATED])
@pytest.mark.parametrize(("told", "written"), [(SERIAL.text, SERIAL.text), (".84370001", "84370001")], ids=["oid", "bare"])
def test_a_meter_known_by_its_serial_number_gets_its_title(mode: Mode, told: str, written: str) -> None:
    known = meter("m1", Identity(IdentityKind.SERIAL, written))
    push = Bench(known).one(registration(serial=told, mode=mode))
    assert push.announced == replace(known, identities=(*known.identities, ap(TITLE.text)), updated_at=NOW)
    assert push.meter_id == "m1"


def test_a_title_that_is_anothers_is_a_conflict() -> None:
    bench = Bench(meter("m1", Identity(IdentityKind.SERIAL, SERIAL.text)), meter("m2", ap(OTHER.text)))
    push = bench.one(
        MessageMeter().notify(
            [Register(END_DEVICE, 0, b"TEST", OTHER, SERIAL, b"", 600)], Mode.CLEAR, respond=Respond.ALWAYS
        )
    )
    assert push.letter is not None
    assert (push.letter.code, push.announced) == ("identity-conflict", None)
    assert alarms(push) == [("SECURITY", "CRITICAL", "identity-conflict")]
    assert decode_response(opened(push.reply).services[0], None) == Refused(responses.ISC)


@pytest.mark.parametrize(("mode", "changed"), [(Mode.CLEAR, False), (Mode.CIPHERED, True)], ids=["clear", "proven"])
def test_another_title_takes_a_proof(mode: Mode, changed: bool) -> None:
    node = Register(END_DEVICE, 0, b"TEST", OTHER, SERIAL, b"", 600)
    push = Bench().one(MessageMeter().notify([node], mode, respond=Respond.ALWAYS))
    assert (push.announced is not None) is changed
    assert (push.letter is None) is changed
    if push.announced is not None:
        assert push.announced.identities == (ap(OTHER.text),)


def test_who_leaves_is_heard_and_stays_known() -> None:
    push = Bench().one(MessageMeter().deregister())
    assert (alarms(push), push.announced) == ([("COMMUNICATION", "INFO", "deregistered")], None)
    assert opened(push.reply).services == (b"\0",)
    other = Bench().one(MessageMeter().notify([Deregister(OTHER)], Mode.CLEAR))
    assert other.letter is not None
    assert other.letter.code == "identity-conflict"


def test_who_is_not_known_is_announced_once_and_told_so() -> None:
    bench = Bench(meter("m1", ap(OTHER.text)))
    first, again = bench.hear(registration(mode=Mode.CLEAR), registration(mode=Mode.CLEAR))
    assert [push.letter.code for push in (first, again) if push.letter] == ["c1222-title-unknown"] * 2
    assert first.announced is not None
    assert (first.announced.protocol, first.announced.state) == (Protocol.C1222, MeterState.DISCOVERED)
    assert first.announced.identities == (ap(TITLE.text), Identity(IdentityKind.SERIAL, SERIAL.text))
    assert again.announced is None
    assert decode_response(opened(first.reply).services[0], Register.code) == Refused(responses.UAT)


@pytest.mark.parametrize("text", [TITLE.text, ".123.8437"], ids=["absolute", "relative"])
def test_the_registry_may_write_a_title_either_way(text: str) -> None:
    push = Bench(meter("m1", ap(text))).one(MessageMeter(own=title(".123.8437")).notify(ENTRY, Mode.CIPHERED))
    assert alarms(push) == [OUTAGE]


def test_a_meter_without_a_title_is_known_by_its_address() -> None:
    push = Bench(meter("m1", Identity(IdentityKind.ENDPOINT, "10.0.0.7"))).one(MessageMeter().notify(ENTRY, Mode.CIPHERED))
    assert alarms(push) == [OUTAGE]


# -- what is wrong ---------------------------------------------------------------------------------------------------------

SECURITY = ("SECURITY", "CRITICAL")
WRONG: dict[str, tuple[Callable[[], list[bytes]], dict[str, Any], list[str], list[tuple[str, str]]]] = {
    "in-clear-where-all-is-secured": (
        lambda: [MessageMeter().notify(ENTRY, Mode.CLEAR)], {"mode": Mode.CIPHERED}, ["c1222-policy"], [SECURITY],
    ),
    "wrong-key": (
        lambda: [MessageMeter(key=KEY[::-1]).notify(ENTRY, Mode.CIPHERED)], {}, ["c1222-authentication"], [SECURITY],
    ),
    "key-id-unknown": (lambda: [MessageMeter(key_id=9).notify(ENTRY, Mode.CIPHERED)], {}, ["c1222-key-missing"], []),
    "one-bit": (
        lambda: [(m := MessageMeter().notify(ENTRY, Mode.CIPHERED))[:-1] + bytes((m[-1] ^ 1,))], {},
        ["c1222-authentication"], [SECURITY],
    ),
    "vector-again": (
        lambda: [(m := MessageMeter(stuck=True)).notify(ENTRY, Mode.CIPHERED),
                 m.notify([WriteOffset(76, 11, EVENTS[1])], Mode.CIPHERED)], {},
        ["", "c1222-replay"], [("OUTAGE", "CRITICAL"), SECURITY],
    ),
    "answer-to-nothing": (
        lambda: MessageMeter().exchange(MessageMeter().notify([Identify()], Mode.CLEAR, respond=Respond.ALWAYS)), {},
        ["c1222-title-unknown"], [],
    ),
    "request": (lambda: [MessageMeter().notify([Identify()], Mode.CIPHERED)], {}, ["peer-unexpected"], []),
    "checksum": (
        lambda: [MessageMeter().notify([WriteOffset(76, 11, EVENTS[0], 99)], Mode.CIPHERED)], {}, ["psem-checksum"], [],
    ),
    "size": (lambda: [MessageMeter().notify([WriteFull(76, bytes(12))], Mode.CIPHERED)], {}, ["table-size"], []),
    "no-entry": (lambda: [MessageMeter().notify([WriteIndex(76, (4,), b"\0\0")], Mode.CIPHERED)], {}, ["table-shape"], []),
    "nothing": (lambda: [MessageMeter().notify([WriteFull(75, b"\0")], Mode.CIPHERED)], {}, ["telegram-empty"], []),
    "garbage": (lambda: [b"\x15\x15\x15"], {}, ["c1222-garbage"], []),
    "cut-short": (lambda: [MessageMeter().notify(ENTRY, Mode.CIPHERED)[:-3]], {}, ["c1222-truncated"], []),
    "no-message": (lambda: [b"\x60\x02\xbe\x00"], {}, ["c1222-truncated"], []),
}  # fmt: skip


@pytest.mark.parametrize(("make", "messages", "letters", "events"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_has_its_code(
    make: Callable[[], list[bytes]], messages: dict[str, Any], letters: list[str], events: list[tuple[str, str]]
) -> None:
    pushes = Bench(**messages).hear(*make())
    assert [push.letter.code if push.letter else "" for push in pushes] == letters
    assert [alarm[:2] for push in pushes for alarm in alarms(push)] == events


def test_a_meter_repeats_itself_within_a_while_and_then_it_is_somebody_else() -> None:
    bench, message = Bench(), MessageMeter().notify(ENTRY, Mode.CIPHERED)
    first, again = bench.one(message), bench.one(message, at=NOW + 60_000)
    assert [item.id for item in first.events] == [item.id for item in again.events]
    assert alarms(again) == [OUTAGE]
    assert again.letter is not None
    assert (first.letter, again.letter.code, again.letter.data) == (None, "c1222-replay", first.frames.frames[0].data)
    late = bench.one(message, at=NOW + 600_000)
    assert late.letter is not None
    assert (late.letter.code, alarms(late)) == ("c1222-replay", [("SECURITY", "CRITICAL", "c1222-replay")])


def test_keys_that_came_meanwhile_are_taken() -> None:
    keys = FakeKeys({}, {"ring": MeterKeys(eax=RING)})
    assert alarms(Bench(keys=keys).one(MessageMeter().notify(ENTRY, Mode.CIPHERED))) == [OUTAGE]


def test_a_bug_loses_no_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    monkeypatch.setattr(bench.pushes, "_open", lambda *_: 1 / 0)
    push = bench.one(MessageMeter().notify(ENTRY, Mode.CIPHERED))
    assert push.letter is not None
    assert (push.letter.code, push.letter.data) == ("internal", push.frames.frames[0].data)


def test_no_password_is_kept() -> None:
    message = MessageMeter().notify([Security(b"SECRET"), *ENTRY], Mode.CLEAR)
    push = Bench().one(message)
    assert b"SECRET" in message
    assert b"SECRET" not in push.frames.frames[0].data
    assert push.letter is None


# -- octets ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_octets_in_any_pieces_and_segments_in_any_order(size: int) -> None:
    conversation = C1222Conversation(Bench().pushes, ENDPOINT)
    whole = MessageMeter().notify([WriteFull(76, tables()[76])], Mode.CIPHERED)
    octets = b"\x60\x00".join(reversed(cut(whole, 100))) + MessageMeter(iv=START + 9).notify(ENTRY, Mode.CIPHERED)
    pushes = [push for at in range(0, len(octets), size) for push in conversation.feed(octets[at : at + size], NOW)]
    assert [len(alarms(push)) for push in pushes] == [3, 1]
    assert (conversation.pending, conversation.blocks, conversation.take_replies()) == (0, 0, b"")
    assert conversation.close(NOW) == []


def test_segments_that_never_become_whole_are_kept() -> None:
    conversation = C1222Conversation(Bench().pushes, ENDPOINT)
    parts = cut(MessageMeter().notify([WriteFull(76, tables()[76])], Mode.CIPHERED), 100)
    assert conversation.datagram(parts[0], NOW) == []
    assert conversation.blocks > 0
    (lost,) = conversation.close(NOW + 1)
    assert lost.letter is not None
    assert lost.letter.code == "c1222-segments-incomplete"
    assert conversation.blocks == 0
