"""What telegrams come to, from the octets of a connection: real captures first, then everything that can be wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connectors.gateway.conversation import Conversation, apdu_pushes, octets_pushes
from connectors.gateway.evidence import Evidence
from connectors.gateway.keystore import FileKeyStore, MeterKeys, Pending
from connectors.gateway.pipeline import Pipeline, Push
from connectors.protocols.dlms.ciphering import Keys, cipher
from connectors.protocols.dlms.framing import Limits
from connectors.protocols.dlms.objects.security_setup import KeyEvent
from connectors.protocols.dlms.template import PushTemplate, Template
from connectors.templates.loader import load_templates
from schemas.records import Alarm, AlarmKind, Identity, IdentityKind, Meter, MeterState, RegisterReadings, Transport
from tests.unit.connectors.gateway.builders import (
    AK,
    EK,
    ENDPOINT,
    NOW,
    SERIAL,
    TITLE,
    FakeKeys,
    directory,
    meter,
    notification,
    pipeline,
    reading,
    sealed,
    title,
    wrapped,
)

KEYS = {TITLE.hex().upper(): MeterKeys(EK, AK)}


@dataclass(frozen=True)
class Capture:
    """A real telegram and how its meter is registered."""

    name: str
    template: str
    kind: IdentityKind
    identity: str
    transport: Transport
    zone: str = ""


CAPTURES = [
    Capture("hdlc_iskra550", "iskra", IdentityKind.SERIAL, "84895126", Transport.HDLC),
    Capture("hdlc_kaifa_ma304h3e", "kaifa-han", IdentityKind.SERIAL, "6970631401753985", Transport.HDLC, "Europe/Oslo"),
    Capture("hdlc_kamstrup_omnipower", "kamstrup", IdentityKind.SYSTEM_TITLE, "4B414D4501349083", Transport.HDLC),
    Capture("hdlc_landis_gyr_e450", "landis-gyr", IdentityKind.SYSTEM_TITLE, "4C475A677370B177", Transport.HDLC, "UTC"),
    Capture("hdlc_norway_han_3phase", "aidon-han", IdentityKind.ENDPOINT, "10.0.0.7", Transport.HDLC, "Europe/Oslo"),
    Capture("raw_egd_example", "egd", IdentityKind.LOGICAL_DEVICE_NAME, "EGD012345", Transport.RAW),
    Capture("raw_salzburg_netz", "salzburg", IdentityKind.SERIAL, "1KFM0200234804", Transport.RAW),
]


def octets(folder: Path, name: str) -> bytes:
    return bytes.fromhex((folder / "dlms-push" / name).read_text())


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)
@pytest.mark.parametrize("size", [1_000_000, 7], ids=["at-once", "in-pieces"])
def test_a_captured_telegram_becomes_its_meters_readings(captures_dir: Path, capture: Capture, size: int) -> None:
    folder = captures_dir / "dlms-push"
    expected = json.loads((folder / f"{capture.name}.expected.json").read_text())
    keys = {}
    if (folder / f"{capture.name}.guek").exists():
        keys["ref"] = MeterKeys(octets(captures_dir, f"{capture.name}.guek"), octets(captures_dir, f"{capture.name}.gak"))
    registered = meter(
        "m1", Identity(capture.kind, capture.identity), template=capture.template, key_ref="ref", time_zone=capture.zone
    )
    conversation = Conversation(pipeline(registered, keys=keys), ENDPOINT)
    data = octets(captures_dir, f"{capture.name}.hex")
    pushes = [push for at in range(0, len(data), size) for push in conversation.feed(data[at : at + size], NOW)]
    assert conversation.close(NOW) == []
    (push,) = pushes
    assert push.letter is None
    (made,) = push.events
    assert isinstance(made, RegisterReadings)
    assert made.meter_id == "m1"
    for got, wanted in zip(made.registers, expected["values"], strict=True):
        assert (got.obis, got.value) == (wanted["obis"], wanted["raw"])
        if "scaler" in wanted:
            assert (got.scaler, got.unit) == (wanted["scaler"], wanted["unit"])
    if expected["meter_time"]:
        stated = datetime.fromisoformat(expected["meter_time"])
        zone = ZoneInfo(capture.zone) if capture.zone else UTC
        assert made.captured_at == (stated if stated.tzinfo else stated.replace(tzinfo=zone)).timestamp() * 1000
    assert push.frames.transport is capture.transport
    assert push.frames.meter_id == "m1"
    assert set(data) >= set(b"".join(frame.data for frame in push.frames.frames))


def test_a_captured_telegram_without_its_key_names_its_system_title(captures_dir: Path) -> None:
    (push,) = octets_pushes(pipeline(), octets(captures_dir, "mbus_kmswest.hex"), ENDPOINT, NOW)
    assert push.letter is not None
    assert push.letter.code == "key-missing"
    assert "454C536570000001" in push.letter.detail
    assert push.announced is not None
    assert push.announced.identities == (Identity(IdentityKind.SYSTEM_TITLE, "454C536570000001"),)


def one(known: Pipeline, data: bytes, replay_id: str = "") -> Push:
    (push,) = octets_pushes(known, data, ENDPOINT, NOW, replay_id)
    return push


def code(push: Push) -> str:
    assert push.letter is not None
    return push.letter.code


GOOD = wrapped(reading())
SEALED = wrapped(sealed(reading()))
FLIPPED = SEALED[:-20] + bytes((SEALED[-20] ^ 1,)) + SEALED[-19:]

BAD: list[Any] = [
    pytest.param(GOOD[:-3], "frame-truncated", id="truncated"),
    pytest.param(b"\0\1\0\1\0\1" + b"\xff\xff" + b"\x0f" * 50, "frame-truncated", id="cut-before-its-length"),
    pytest.param(b"\xff" * 40, "frame-garbage", id="garbage"),
    pytest.param(wrapped(notification(b"\x77")), "dlms-axdr", id="no-tag"),
    pytest.param(wrapped(reading()[:-4]), "dlms-truncated", id="cut-inside"),
    pytest.param(wrapped(notification(b"\x02\x01" * 40 + b"\x00")), "dlms-nesting", id="nested"),
    pytest.param(wrapped(b"\xdb\x08" + TITLE + b"\x02\x30\x00"), "cipher-malformed", id="ciphered-too-short"),
    pytest.param(FLIPPED, "cipher-authentication", id="altered"),
    pytest.param(wrapped(sealed(reading(), ek=b"\7" * 16)), "cipher-authentication", id="wrong-key"),
    pytest.param(wrapped(sealed(reading(), system_title=b"XYZ12345")), "key-missing", id="unknown-title"),
    pytest.param(wrapped(reading("99999999")), "meter-unknown", id="unknown-meter"),
    pytest.param(wrapped(b"\xe0\x80\0\2\0\0\1\0"), "block-transfer", id="block-out-of-order"),
]


@pytest.mark.parametrize(("data", "expected"), BAD)
def test_each_kind_of_bad_input_has_its_code_and_the_next_telegram_is_read(data: bytes, expected: str) -> None:
    known = pipeline(meter("m1", title(), Identity(IdentityKind.SERIAL, SERIAL)), keys=KEYS)
    conversation = Conversation(known, ENDPOINT)
    pushes = conversation.feed(data, NOW)
    if not pushes:
        pushes = conversation.close(NOW)
        conversation = Conversation(known, ENDPOINT)
    assert expected in [code(push) for push in pushes]
    assert b"".join(push.letter.data for push in pushes if push.letter) == data
    assert [push.outcome for push in conversation.feed(GOOD, NOW)][-1] == "events"


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(bytes.fromhex("0001 0001 0066 0801 0F"), id="wrapper"),
        pytest.param(bytes.fromhex("DB 08 4B414D1122334455 84 7FFFFFFF"), id="bare-ciphered"),
    ],
)
def test_an_oversized_frame_is_refused_before_anyone_waits_for_it(head: bytes) -> None:
    known = pipeline(meter())
    known.limits = Limits(max_apdu=2048)
    conversation = Conversation(known, ENDPOINT)
    pushes = conversation.feed(head, NOW)
    pushes += conversation.feed(GOOD if head[0] == 0 else b"", NOW) + conversation.close(NOW)
    assert "frame-oversized" in [code(push) for push in pushes if push.letter]


@pytest.mark.parametrize(
    ("template", "suite", "octets_of_a_key"),
    [("idis-3", 1, 16), ("generic", 2, 32), ("idis-3", 2, 32)],
    ids=["suite 1 by template", "suite 2 by its keys", "keys before template"],
)
def test_a_push_of_another_suite_is_opened(template: str, suite: int, octets_of_a_key: int) -> None:
    ek, ak = b"\1" * octets_of_a_key, b"\2" * octets_of_a_key
    one_meter = meter("m1", title(), Identity(IdentityKind.SERIAL, SERIAL), template=template)
    known = pipeline(one_meter, keys={TITLE.hex().upper(): MeterKeys(ek, ak)})
    push = one(known, wrapped(cipher(reading(), Keys(ek, ak, suite=suite), TITLE, 1)))
    assert push.letter is None
    assert push.events


def test_no_octet_of_an_unknown_meters_telegram_is_lost() -> None:
    push = one(pipeline(), GOOD)
    assert push.letter is not None
    assert push.letter.data == GOOD
    assert push.frames.frames[0].data == GOOD
    assert push.frames.meter_id == ""


def test_an_unknown_meter_is_announced_once_for_a_process() -> None:
    known = pipeline()
    first, second = one(known, GOOD), one(known, GOOD)
    assert first.announced is not None
    assert (first.announced.state, first.announced.identities) == (
        MeterState.DISCOVERED,
        (Identity(IdentityKind.SERIAL, SERIAL),),
    )
    assert second.announced is None
    assert (code(first), code(second)) == ("meter-unknown", "meter-unknown")


def test_who_is_discovered_already_stays_unknown_and_is_not_announced_again() -> None:
    announced = one(pipeline(), GOOD).announced
    assert announced is not None
    push = one(pipeline(announced), GOOD)
    assert (code(push), push.announced) == ("meter-unknown", None)


@pytest.mark.parametrize(("announce", "replay_id"), [(0, ""), (100, "r1")], ids=["switched-off", "replay"])
def test_nobody_is_announced(announce: int, replay_id: str) -> None:
    assert one(pipeline(announce=announce), GOOD, replay_id).announced is None


def test_announcements_are_bounded() -> None:
    known = pipeline(announce=3)
    told = [one(known, wrapped(reading(f"{n:08}"))).announced for n in range(10)]
    assert len([item for item in told if item]) == 3


def conflicting() -> Pipeline:
    return pipeline(meter("m1", title()), meter("m2", Identity(IdentityKind.SERIAL, SERIAL)), keys=KEYS)


def test_identities_that_disagree_are_a_dead_letter_and_an_alarm() -> None:
    push = one(conflicting(), SEALED)
    assert code(push) == "identity-conflict"
    (alarm,) = push.events
    assert isinstance(alarm, Alarm)
    assert (alarm.meter_id, alarm.kind, alarm.code) == ("m1", AlarmKind.SECURITY, "identity-conflict")


def test_in_a_replay_they_alarm_nobody() -> None:
    push = one(conflicting(), SEALED, "r1")
    assert (code(push), push.events) == ("identity-conflict", ())


REGISTERED = meter("m1", title(), key_ref="ref")


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({"ref": MeterKeys(EK, AK)}, id="by-key-reference"),
        pytest.param(KEYS, id="by-system-title"),
        pytest.param({"ref": MeterKeys(EK, AK), TITLE.hex().upper(): MeterKeys(b"\7" * 16, AK)}, id="the-reference-first"),
    ],
)
def test_keys_are_found(keys: dict[str, MeterKeys]) -> None:
    assert one(pipeline(REGISTERED, keys=keys), SEALED).outcome == "events"


@pytest.mark.parametrize("later", [{"ref": MeterKeys(EK, AK)}], ids=["imported-meanwhile"])
@pytest.mark.parametrize("known", [{}, {"ref": MeterKeys(b"\7" * 16, AK)}], ids=["missing", "changed"])
def test_keys_that_come_later_are_looked_for(known: dict[str, MeterKeys], later: dict[str, MeterKeys]) -> None:
    assert one(pipeline(REGISTERED, keys=FakeKeys(dict(known), dict(later))), SEALED).outcome == "events"


@pytest.mark.parametrize("keys", [MeterKeys(b"short", AK), MeterKeys(password=b"x")], ids=["wrong-length", "password-only"])
def test_keys_that_are_none_are_missing(keys: MeterKeys) -> None:
    assert code(one(pipeline(REGISTERED, keys={"ref": keys}), SEALED)) == "key-missing"


def test_a_failed_authentication_alarms_once_an_hour() -> None:
    known = pipeline(REGISTERED, keys=KEYS)
    (first,), (second,) = (octets_pushes(known, FLIPPED, ENDPOINT, at) for at in (NOW, NOW + 1))
    (later,) = octets_pushes(known, FLIPPED, ENDPOINT, NOW + 3_600_000)
    assert [len(push.events) for push in (first, second, later)] == [1, 0, 1]
    assert first.events[0].id != later.events[0].id
    assert {code(push) for push in (first, second, later)} == {"cipher-authentication"}
    assert first.meter_id == "m1"


def kinds(push: Push) -> list[str]:
    return [event.code if isinstance(event, Alarm) else type(event).__name__ for event in push.events]


def test_a_counter_that_comes_again_with_other_content_is_an_alarm_and_the_readings_are_kept() -> None:
    known = pipeline(REGISTERED, keys=KEYS)
    pushes = [
        one(known, wrapped(sealed(reading(value=v), counter))) for counter, v in ((5, 1), (5, 1), (5, 2), (6, 3), (4, 4))
    ]
    assert [kinds(push) for push in pushes] == [
        ["RegisterReadings"],
        ["RegisterReadings"],
        ["counter-replayed", "RegisterReadings"],
        ["RegisterReadings"],
        ["counter-replayed", "RegisterReadings"],
    ]
    assert pushes[0].events[0].id == pushes[1].events[0].id


def test_a_replay_moves_no_counter() -> None:
    known = pipeline(REGISTERED, keys=KEYS)
    pushes = [
        one(known, wrapped(sealed(reading(value=counter), counter)), replay)
        for counter, replay in ((9, "r1"), (5, ""), (4, "r1"))
    ]
    assert [kinds(push) for push in pushes] == [["RegisterReadings"]] * 3


def test_a_time_and_nothing_else_is_a_dead_letter() -> None:
    registered = meter("m1", Identity(IdentityKind.ENDPOINT, "10.0.0.7"))
    assert code(one(pipeline(registered), wrapped(notification(b"\x11\x01")))) in ("telegram-empty", "dlms-layout-unknown")


def blocks(apdu: bytes, size: int = 20) -> list[bytes]:
    """An APDU in blocks, streamed and unconfirmed."""
    parts = [apdu[at : at + size] for at in range(0, len(apdu), size)]
    last = len(parts)
    return [
        b"\xe0" + bytes(((0x80 if n == last else 0) | 0x40,)) + n.to_bytes(2) + b"\0\0" + bytes((len(part),)) + part
        for n, part in enumerate(parts, 1)
    ]


def test_blocks_are_one_telegram_with_all_their_frames() -> None:
    frames = [wrapped(block) for block in blocks(reading())]
    push = one(pipeline(meter()), b"".join(frames))
    assert push.outcome == "events"
    assert [frame.data for frame in push.frames.frames] == frames


def test_a_telegram_between_blocks_is_its_own() -> None:
    frames = [wrapped(block) for block in blocks(reading())]
    whole = wrapped(reading(value=9))
    pushes = octets_pushes(pipeline(meter()), frames[0] + whole + b"".join(frames[1:]), ENDPOINT, NOW)
    assert [push.outcome for push in pushes] == ["events", "events"]
    assert [[frame.data for frame in push.frames.frames] for push in pushes] == [[whole], frames]


def test_blocks_that_end_early_are_refused_whole_and_the_next_go_on() -> None:
    first, second = blocks(reading()), blocks(reading(value=9))
    data = b"".join(map(wrapped, first[:2] + second))
    broken, good = octets_pushes(pipeline(meter()), data, ENDPOINT, NOW)
    assert code(broken) == "block-transfer"
    assert good.outcome == "events"
    assert [frame.data for frame in good.frames.frames] == list(map(wrapped, second))


def test_a_block_repeated_without_end_is_given_up() -> None:
    conversation = Conversation(pipeline(meter()), ENDPOINT)
    block = wrapped(blocks(bytes(5000), 100)[0])
    pushes = []
    for _ in range(2 * conversation._pipeline.limits.max_apdu // len(block) + 2):
        pushes += conversation.feed(block, NOW)
        assert conversation.pending <= 2 * conversation._pipeline.limits.max_apdu + len(block)
    assert [code(push) for push in pushes] == ["block-transfer"]


@pytest.mark.parametrize(
    ("apdu", "reply"),
    [
        pytest.param(reading(), b"", id="unconfirmed"),
        pytest.param(reading(invoke_id=0x40000005), wrapped(bytes.fromhex("104000000500"), 102, 1), id="confirmed"),
    ],
)
def test_a_confirmed_notification_is_answered_with_ports_swapped(apdu: bytes, reply: bytes) -> None:
    assert one(pipeline(meter()), wrapped(apdu)).reply == reply


def test_an_unknown_meters_confirmed_push_is_answered_too_since_its_bytes_are_kept() -> None:
    assert one(pipeline(), wrapped(reading(invoke_id=0x40000005))).reply


def test_a_bare_apdu_of_a_session_takes_the_same_way() -> None:
    (push,) = apdu_pushes(pipeline(meter()), reading(invoke_id=0x40000005), ENDPOINT, NOW)
    assert (push.outcome, push.reply) == ("events", bytes.fromhex("104000000500"))


def test_a_password_in_an_association_request_is_masked() -> None:
    aarq = bytes.fromhex(
        "6036A1090607608574050801018A0207808B0760857405080201AC0A80083132333435363738BE10040E01000000065F1F0400007E1FFFFF"
    )
    push = one(pipeline(), wrapped(aarq)) if octets_pushes(pipeline(), wrapped(aarq), ENDPOINT, NOW) else None
    assert push is not None
    assert push.letter is not None
    for kept in (push.letter.data, push.frames.frames[0].data):
        assert b"12345678" not in kept


def test_a_bug_is_a_dead_letter_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("boom")

    known = pipeline(meter())
    monkeypatch.setattr("connectors.gateway.pipeline.events_of", broken)
    conversation = Conversation(known, ENDPOINT)
    (push,) = conversation.feed(GOOD, NOW)
    assert push.letter is not None
    assert (push.letter.code, push.letter.data) == ("internal", GOOD)
    monkeypatch.undo()
    assert conversation.feed(GOOD, NOW)[0].outcome == "events"


def test_the_template_of_the_endpoint_is_a_guess_that_may_be_wrong() -> None:
    host = meter("gateway", Identity(IdentityKind.ENDPOINT, "10.0.0.7"), template="kaifa-han")
    push = one(pipeline(meter(), host), GOOD)
    assert (push.outcome, push.meter_id) == ("events", "m1")


def test_the_same_octets_at_the_same_time_are_the_same_frames() -> None:
    known: list[Meter] = [meter()]
    assert one(pipeline(*known), GOOD).frames.id == one(pipeline(), GOOD).frames.id


def protected(*identities: Identity) -> Pipeline:
    """A pipeline with a meter whose template says that it ciphers all it pushes."""
    templates = load_templates() | {"sealed": Template("sealed", push=PushTemplate(name="sealed", protected=True))}
    known = meter("m1", Identity(IdentityKind.SERIAL, SERIAL), *identities, template="sealed")
    return Pipeline(directory(known), FakeKeys(dict(KEYS)), templates)


def test_a_push_in_clear_in_the_name_of_a_meter_that_ciphers_is_a_dead_letter_and_one_alarm_an_hour() -> None:
    shared = protected(title())
    first, second, later = (
        octets_pushes(shared, wrapped(reading(value=n)), ENDPOINT, at)[0]
        for n, at in ((1, NOW), (2, NOW + 1_000), (3, NOW + 3_600_000))
    )
    assert [push.outcome for push in (first, second, later)] == ["push-unprotected"] * 3
    assert [[(e.kind, e.code) for e in push.events if isinstance(e, Alarm)] for push in (first, second, later)] == [
        [(AlarmKind.SECURITY, "push-unprotected")],
        [],
        [(AlarmKind.SECURITY, "push-unprotected")],
    ]
    assert (first.meter_id, first.authenticated) == ("m1", False)
    assert first.letter is not None
    assert first.letter.data == wrapped(reading(value=1))


def test_what_it_ciphers_is_read() -> None:
    shared = protected(title())
    (push,) = octets_pushes(shared, wrapped(sealed(reading())), ENDPOINT, NOW)
    assert (push.outcome, push.authenticated) == ("events", True)


def test_in_a_replay_a_push_in_clear_alarms_nobody() -> None:
    shared = protected()
    (push,) = octets_pushes(shared, wrapped(reading()), ENDPOINT, NOW, "replay")
    assert (push.outcome, push.events) == ("push-unprotected", ())


# -- keys that a meter is being given --------------------------------------------------------------------------------------

NEW = MeterKeys(bytes(range(0x60, 0x70)), bytes(range(0x70, 0x80)))


def under(keys: MeterKeys, counter: int, value: int = 1234) -> bytes:
    """A push under these keys."""
    assert keys.ek is not None
    return cipher(reading(value=value), Keys(keys.ek, keys.ak), TITLE, counter)


@dataclass
class Changing:
    """A pipeline over a key store in which a meter's keys are being changed, and what is heard of it."""

    path: Path
    events: tuple[KeyEvent, ...] = (KeyEvent.SEND,)

    def __post_init__(self) -> None:
        self.store = FileKeyStore.open(self.path / "keys", bytes(32))
        self.store.put_many({"ref": MeterKeys(EK, AK)})
        self.store.propose("ref", NEW)
        for event in self.events:
            self.store.note("ref", event)
        self.proved: list[tuple[str, Pending]] = []
        known = meter("m1", title(), key_ref="ref")
        self.pipeline = Pipeline(
            directory(known), self.store, load_templates(), proved=lambda *found: self.proved.append(found)
        )

    def push(self, octets: bytes, replay_id: str = "") -> Push:
        (push,) = octets_pushes(self.pipeline, octets, ENDPOINT, NOW, replay_id)
        return push


@pytest.mark.parametrize(
    ("events", "opens", "proves"),
    [
        pytest.param((), False, False, id="pending"),
        pytest.param((KeyEvent.SEND,), True, True, id="sent"),
        pytest.param((KeyEvent.SEND, KeyEvent.ACCEPTED), True, True, id="written"),
        pytest.param((KeyEvent.SEND, KeyEvent.NEITHER_WORKS), True, True, id="lost"),
        pytest.param((KeyEvent.SEND, KeyEvent.OLD_WORKS), True, False, id="recovered"),
    ],
)
def test_a_push_under_new_keys_is_read_and_shows_that_the_meter_has_them(
    tmp_path: Path, events: tuple[KeyEvent, ...], opens: bool, proves: bool
) -> None:
    there = Changing(tmp_path, events)
    push = there.push(under(NEW, 1))
    assert push.outcome == ("events" if opens else "cipher-authentication")
    assert [(ref, pending.keys.ek) for ref, pending in there.proved] == ([("ref", NEW.ek)] if proves else [])


def test_a_push_under_the_old_keys_shows_nothing(tmp_path: Path) -> None:
    there = Changing(tmp_path)
    assert there.push(under(MeterKeys(EK, AK), 1)).outcome == "events"
    assert there.proved == []


def test_what_is_replayed_shows_nothing(tmp_path: Path) -> None:
    there = Changing(tmp_path)
    assert there.push(under(NEW, 1), replay_id="again").outcome == "events"
    assert there.proved == []


def test_under_neither_key_it_is_told_as_ever(tmp_path: Path) -> None:
    push = Changing(tmp_path).push(under(MeterKeys(bytes(16), bytes(16)), 1))
    assert push.outcome == "cipher-authentication"
    assert [event.code for event in push.events if isinstance(event, Alarm)] == ["cipher-authentication"]


def test_counters_of_a_new_key_begin_anew_and_no_replay_is_told(tmp_path: Path) -> None:
    there = Changing(tmp_path)
    old = MeterKeys(EK, AK)
    assert len(there.push(under(old, 500)).events) == 1
    assert len(there.push(under(NEW, 1)).events) == 1
    assert len(there.push(under(NEW, 2, 5)).events) == 1
    replayed = there.push(under(NEW, 2, 6)).events
    assert [event.code for event in replayed if isinstance(event, Alarm)] == ["counter-replayed"]


async def test_the_key_store_is_told_once_and_off_the_loop(tmp_path: Path) -> None:
    there = Changing(tmp_path)
    evidence = Evidence(there.store)
    there.pipeline._proved = evidence.new_works
    for counter in (1, 2, 3):
        assert there.push(under(NEW, counter)).outcome == "events"
    (task,) = evidence._telling.values()
    await task
    held = there.store.get("ref")
    assert held is not None
    assert (held.ek, there.store.pending("ref")) == (NEW.ek, None)
    assert there.push(under(NEW, 4)).outcome == "events"
    assert evidence._telling == {}
