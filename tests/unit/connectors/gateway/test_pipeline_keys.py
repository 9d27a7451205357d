"""Which keys open a push, which counters are believed, and what a push shows of keys that are being changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from connectors.gateway.conversation import octets_pushes
from connectors.gateway.evidence import Evidence
from connectors.gateway.keystore import FileKeyStore, MeterKeys, Pending
from connectors.gateway.pipeline import Pipeline, Push
from connectors.protocols.dlms.ciphering import Keys, cipher
from connectors.protocols.dlms.objects.security_setup import KeyEvent
from connectors.templates.loader import load_templates
from schemas.records import Alarm, Identity, IdentityKind
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
    pipeline,
    reading,
    sealed,
    title,
    wrapped,
)
from tests.unit.connectors.gateway.telegrams import FLIPPED, KEYS, REGISTERED, SEALED, code, one


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
