"""No key, password or plain secret in a log line, an event, a dead letter or a frame of the gateway, whatever goes wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from connectors.gateway.conversation import octets_pushes
from connectors.gateway.keystore import MeterKeys
from connectors.protocols.dlms.association import Association, aarq
from connectors.protocols.dlms.ciphering import Keys, cipher
from connectors.protocols.dlms.template import PullTemplate, PushTemplate, Template
from schemas.records import Job, Operation
from tests.unit.connectors.gateway.bench import Bench, job, registered
from tests.unit.connectors.gateway.builders import (
    NOW,
    TITLE,
    meter,
    pipeline,
    reading,
    title,
    wrapped,
)
from tests.unit.connectors.gateway.meters import CLOCK, CLOCK_AT, Network, ScriptedMeter
from tests.unit.secrecy import (
    AK,
    EK,
    KEYS,
    METER,
    NEW,
    PASSWORD,
    STORE,
    cases,
    clean,
)


def sealed(plain: bytes, keys: Keys) -> bytes:
    return wrapped(cipher(plain, keys, TITLE, 1))


PUSHES: dict[str, bytes] = {
    "read": sealed(reading(), Keys(EK, AK)),
    "wrong-key": sealed(reading(), Keys(NEW, AK)),
    "plain-under-a-keyed-title": wrapped(reading()),
    "altered": sealed(reading(), Keys(EK, AK))[:-1] + b"\0",
    "no-telegram-inside": sealed(b"\x0f\0\0\0\1\0\x09\x05hello", Keys(EK, AK)),
    "an-aarq-with-a-password": wrapped(aarq(Association(password=PASSWORD))),
    "truncated": sealed(reading(), Keys(EK, AK))[:40],
}


@pytest.mark.parametrize("data", PUSHES.values(), ids=list(PUSHES))
def test_pushes(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    known = pipeline(meter("m1", title(), key_ref="ref"), keys=STORE)
    with capture_logs() as logs:
        pushes = octets_pushes(known, data, "10.0.0.7:1", NOW)
    clean(*logs, caplog.text)
    for push in pushes:
        clean(repr(push), str(push.letter), *(repr(event) for event in push.events))
        if data[8:9] != b"\x60":  # the wrapper does not carry an association to where pushes come in: see masking
            clean(*(frame.data for frame in push.frames.frames))


def test_a_bug_while_reading_a_push(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(*given: Any, **more: Any) -> Any:
        keys = KEYS, given, more  # a local that a traceback might show
        raise RuntimeError(f"a bug {len(keys)}")

    known = pipeline(meter("m1", title(), key_ref="ref"), keys=STORE)
    monkeypatch.setattr(known, "telegram", bug)
    with capture_logs() as logs:
        pushes = octets_pushes(known, sealed(reading(), Keys(EK, AK)), "10.0.0.7:1", NOW)
    assert [push.outcome for push in pushes] == ["internal"]
    assert any("a bug" in str(log) for log in logs)
    clean(*logs, caplog.text, *map(repr, pushes))


LOW = Template("low", push=PushTemplate(), pull=PullTemplate(auth="low"))
BOTH = Template("both", push=PushTemplate(), pull=PullTemplate(client=1, auth="hls-gmac", security="both"))
BOTH_LOW = Template(
    "both-low", push=PushTemplate(), pull=PullTemplate(client=1, auth="low", security="both", dedicated=True)
)
TEMPLATES = {template.name: template for template in (LOW, BOTH, BOTH_LOW)}


class Mirror(ScriptedMeter):
    """Answers every request with itself."""

    def answer(self, apdu: bytes) -> bytes:
        return apdu


VISITS: dict[str, tuple[str, ScriptedMeter | Exception]] = {
    "read": ("low", ScriptedMeter(password=PASSWORD)),
    "refused": ("low", ScriptedMeter(password=b"another")),
    "silent": ("low", ScriptedMeter(password=PASSWORD, silent_after=0)),
    "closes": ("low", ScriptedMeter(password=PASSWORD, closes_after=0)),
    "closes-later": ("low", ScriptedMeter(password=PASSWORD, closes_after=1)),
    "mirrors": ("low", Mirror()),
    "unreachable": ("low", OSError(111, "refused")),
    "accepts-without-ciphering": ("both", ScriptedMeter(password=None)),
    "mirrors-what-is-ciphered": ("both", Mirror()),
    "accepts-a-password-without-ciphering": ("both-low", ScriptedMeter(password=None)),
    "garbage": ("both-low", ScriptedMeter(holds={CLOCK: CLOCK_AT}, unasked=b"\xff" * 40)),
}


async def visited(template: str, there: ScriptedMeter | Exception) -> Bench:
    known = registered("m1", template=template, key_ref="ref", identities=(title(METER),))
    bench = Bench(known, network=Network({4059: there}), keys={"ref": MeterKeys(EK, AK, PASSWORD)}, attempts=2)
    bench.driver._tools = replace(bench.driver._tools, templates=TEMPLATES)
    orders: tuple[Job, ...] = (
        job(Operation.READ_CLOCK),
        job(Operation.READ_REGISTERS, "j2", objects=("3/1.0.1.8.0.255/2",)),
    )
    bench.put(*orders)
    await bench.run(200)
    return bench


def said_by(bench: Bench) -> Iterator[object]:
    """Everything that left the worker for Kafka, and what it is asked to show of itself."""
    for topic, key, value, headers in bench.publisher.sent:
        yield from (topic, key or b"", value or b"", repr(headers))
    yield from map(repr, bench.publisher.records(""))
    yield repr(bench.offsets.refused)


@pytest.mark.parametrize(("template", "there"), cases(VISITS))
async def test_visits(template: str, there: ScriptedMeter | Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as logs:
        bench = await visited(template, there)
    assert bench.results()
    clean(*logs, caplog.text, *said_by(bench))


async def test_a_bug_in_a_visit(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def bug(config: Association) -> Any:
        password = config.password, KEYS  # locals that a traceback might show
        yield b"\x62\0"
        raise RuntimeError(f"a bug {len(password)}")

    monkeypatch.setattr("connectors.gateway.drivers.dlms.associate", bug)
    with capture_logs() as logs:
        bench = await visited("low", ScriptedMeter(password=PASSWORD))
    assert {result.code for result in bench.results()} == {"internal"}
    assert any("a bug" in str(log) for log in logs)
    clean(*logs, caplog.text, *said_by(bench))
