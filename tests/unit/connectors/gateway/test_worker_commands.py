"""Commands among the jobs of a worker: they wait until they can be judged, and end in what hes.intents has of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from connectors.gateway.directory import Change
from connectors.gateway.errors import JobError
from connectors.gateway.intake import URGENT
from connectors.gateway.keystore import MeterKeys
from connectors.gateway.proofs import refused
from connectors.protocols.dlms.template import PullTemplate, Template
from schemas.ids import event_id
from schemas.records import Alarm, CommandIntent, CommandRequest, Job, Meter, Operation, Outcome
from schemas.signatures import digest
from streams.runtime.authority.refusals import Proven
from tests.unit.connectors.gateway.bench import Bench, job, registered
from tests.unit.connectors.gateway.builders import AK, EK, NOW, FakeKeys, title
from tests.unit.connectors.gateway.meters import Network
from tests.unit.connectors.gateway.test_bad_meters import secure
from tests.unit.connectors.gateway.test_deeds import Desk
from tests.unit.connectors.protocols.dlms.secure_meter import METER_TITLE

COMMAND = job(
    Operation.DISCONNECT,
    id=event_id("Job", "c1", digest(b"request"), "m1", 1),
    request=b"request",
    deadline=NOW + 30_000,
    caused_by="c1",
)
INTENT = CommandIntent(
    meter_id="m1", digest=b"", command_id="c1", job_id="j1", record=f"{URGENT}/0/0", at=NOW - 60_000, before="connected",
    expires=NOW + 3_600_000,
)  # fmt: skip


class Nowhere(Network):
    """No meter can be reached."""

    async def connect(self, _factory: Any, _address: Any) -> None:
        raise ConnectionRefusedError(111, "refused")


class Proving:
    """Believes everything, or nothing."""

    def __init__(self) -> None:
        self.ready, self.refusal, self.stopped = True, "", ""

    def going(self, _job: Job) -> None:
        if self.stopped:
            raise refused(self.stopped, "no")

    def proven(self, job: Job, _meter: Meter, _now_ms: int) -> Proven:
        self.going(job)
        if self.refusal:
            raise refused(self.refusal, "no")
        return Proven(CommandRequest(id="c1"), b"", "disconnect", ("bob",), "", NOW + 3_600_000)

    def released(self, job: Job, value: bytes, now_ms: int) -> None:
        """Whoever wrote it."""

    async def current(self) -> None:
        """It knows all there is."""


def a_bench(**fields: Any) -> tuple[Bench, Desk, Proving]:
    bench, desk, proving = Bench(registered(), network=Nowhere({}), **fields), Desk(), Proving()
    desk.intents._books._clock = bench.clock
    commands = replace(desk.commands, clock=bench.clock, proofs=proving)
    bench.worker._commands._commands = commands
    return bench, desk, proving


def known(desk: Desk, **fields: Any) -> None:
    """What an earlier worker left."""
    intent = replace(INTENT, digest=digest(COMMAND.request), **fields)
    desk.shared.intents[intent.meter_id, intent.digest] = intent


async def settle(bench: Bench, seconds: float = 2.0) -> None:
    """Threads of the ledger come to their end, too."""
    for _ in range(20):
        await bench.run(seconds / 20)
        await asyncio.sleep(0.005)


async def test_while_nobody_can_judge_it_a_command_waits_beyond_its_deadline() -> None:
    bench, _, proving = a_bench()
    proving.ready = False
    bench.put(COMMAND, lane=URGENT)
    await settle(bench, 60)
    assert bench.results() == []
    proving.ready = True
    await settle(bench)
    assert [(result.outcome, result.code) for result in bench.results()] == [(Outcome.EXPIRED, "job-expired")]


async def test_how_it_ended_is_told_again_in_the_same_words() -> None:
    bench, desk, _ = a_bench()
    known(desk, outcome=Outcome.DONE, detail="as asked", after="disconnected", settled_at=NOW)
    bench.put(COMMAND, lane=URGENT)
    await settle(bench)
    (result,) = bench.results()
    assert (result.outcome, result.before, result.after, result.detail) == (
        Outcome.DONE,
        "connected",
        "disconnected",
        "as asked",
    )
    assert bench.offsets.finished == [COMMAND.id]


async def test_what_a_cap_held_up_until_its_time_was_over_ends_by_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, desk, _ = a_bench()
    monkeypatch.setattr(desk.claims, "free_in_ms", lambda _: 60_000)
    bench.put(COMMAND, lane=URGENT)
    await settle(bench, 2)
    assert bench.results() == []
    bench.clock.advance(60)  # in one leap, as on a machine that has no time for it
    await settle(bench)
    assert [(result.outcome, result.code) for result in bench.results()] == [(Outcome.FAILED, "openings-capped")]


async def test_what_may_have_been_sent_is_never_said_to_have_failed_or_expired() -> None:
    bench, desk, _ = a_bench(attempts=2, retry_first_s=1)
    known(desk)
    bench.put(replace(COMMAND, deadline=NOW - 1_000), lane=URGENT)
    await settle(bench, 20)
    (result,) = bench.results()
    assert (result.outcome, result.code) == (Outcome.OUTCOME_UNKNOWN, "outcome-unknown")
    assert "cannot be reached" in result.detail
    (kept,) = desk.shared.intents.values()
    assert kept.outcome is Outcome.OUTCOME_UNKNOWN


@pytest.mark.parametrize(
    ("code", "alarms", "caused_by"),
    [("decision-self", ["command-forged"], ""), ("protected", [], "c1"), ("operator-revoked", ["command-forged"], "c1")],
)
async def test_a_refusal_names_its_reason_and_a_forgery_is_an_alarm(code: str, alarms: list[str], caused_by: str) -> None:
    bench, _, proving = a_bench()
    proving.refusal = code
    bench.put(COMMAND, lane=URGENT)
    await settle(bench)
    (result,) = bench.results()
    assert (result.outcome, result.code, result.caused_by) == (Outcome.FAILED, code, caused_by)
    said = [record for record in bench.publisher.records("hes.events.urgent") if isinstance(record, Alarm)]
    assert [alarm.code for alarm in said] == alarms


@pytest.mark.parametrize(
    ("more", "refusal", "told"),
    [
        pytest.param({}, "", (Outcome.EXPIRED, "job-expired", "c1"), id="the job itself"),
        pytest.param({}, "request-expired", (Outcome.EXPIRED, "request-expired", "c1"), id="its request is over too"),
        pytest.param({"id": "c2s"}, "", (Outcome.EXPIRED, "job-expired", ""), id="under the id of another's job"),
        pytest.param({}, "decision-missing", (Outcome.FAILED, "decision-missing", ""), id="without its decisions"),
        pytest.param({}, "operator-revoked", (Outcome.FAILED, "operator-revoked", "c1"), id="with others' decisions"),
    ],
)
async def test_a_deadline_that_is_over_is_believed_of_what_is_proven(
    more: dict[str, Any], refusal: str, told: tuple[Outcome, str, str]
) -> None:
    bench, desk, proving = a_bench()
    proving.refusal = refusal
    bench.put(replace(COMMAND, deadline=NOW - 1_000, **more), lane=URGENT)
    await settle(bench)
    (result,) = bench.results()
    assert (result.outcome, result.code, result.caused_by) == told
    assert bool(desk.shared.intents) is (not refusal)  # what is kept nobody does any more


async def test_without_kafkas_word_nothing_is_told() -> None:
    bench, desk, proving = a_bench()
    proving.refusal = "frozen"
    desk.ledger.failing = [JobError("x", "away"), JobError("x", "away")]
    bench.put(COMMAND, lane=URGENT)
    await settle(bench, 0.5)
    assert bench.results() == []
    await settle(bench, 5)
    assert [result.code for result in bench.results()] == ["frozen"]


async def test_another_meter_in_its_place_is_an_alarm_of_its_own_and_no_forged_command() -> None:
    known = registered(template="gmac", key_ref="ref", identities=(title(METER_TITLE),))
    bench, _, _ = a_bench()
    bench.worker.connect = Network({4059: secure(title=b"MTR\0\0\0\0\3")}).connect
    bench.pipeline.directory.apply([Change(known.id, known)])
    template = Template("gmac", pull=PullTemplate(client=1, auth="hls-gmac", security="both"))
    tools = replace(bench.driver._tools, keys=FakeKeys({"ref": MeterKeys(EK, AK)}), templates={"gmac": template})
    bench.driver._tools = tools
    bench.put(COMMAND, lane=URGENT)
    await settle(bench)
    assert bench.ended() == [(COMMAND.id, Outcome.FAILED, "peer-title")]
    told = [record.code for record in bench.publisher.records("hes.events.urgent") if isinstance(record, Alarm)]
    assert told == ["peer-title"]
