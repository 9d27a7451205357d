"""Commands in a worker, time and Kafka in the test's hands: sent at most once, settled before they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from connectors.gateway.deeds import Commands, Deed
from connectors.gateway.errors import JobError
from connectors.gateway.intents import Action, Intents, Opened
from connectors.gateway.proofs import prove
from connectors.gateway.reservations import FencedError
from schemas.ids import event_id
from schemas.records import CommandIntent, ControlKind, Job, Meter, Operation, Outcome
from schemas.signatures import digest
from streams.runtime.authority.refusals import Proven
from streams.runtime.authority.verify import Around
from streams.runtime.clock import ManualClock
from streams.runtime.errors import TooLargeError
from tests.unit.streams.runtime.authority.builders import NOW, asks, control, decides, meter, policy, request, sign, world

REQUEST = asks()
WHERE = ("hes.jobs.urgent", 0)


def job(value: bytes = REQUEST, *decisions: bytes, **fields: Any) -> Job:
    whole: dict[str, Any] = {
        "id": event_id("Job", "c1", digest(value), "m1", 1),
        "meter_id": "m1",
        "operation": Operation.DISCONNECT,
        "caused_by": "c1",
        "request": value,
        "decisions": decisions or (decides(value),),
        "deadline": NOW + 90_000,
    }
    return Job(**(whole | fields))


@dataclass
class Shared:
    """hes.intents, as all workers see it."""

    intents: dict[Action, CommandIntent] = field(default_factory=dict)
    owner: Opened | None = None


class FakeLedger:
    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.failing: list[Exception] = []
        self.most = 1_000_000
        """Letters of an intent's texts that Kafka takes."""

    def open(self, partition: int) -> Opened:
        self.shared.owner = Opened(partition, dict(self.shared.intents))
        return self.shared.owner

    def write(self, opened: Opened, intents: Sequence[CommandIntent]) -> None:
        if self.shared.owner is not opened:
            raise FencedError("another has it")
        if self.failing:
            raise self.failing.pop()
        if any(len(intent.detail + intent.before + intent.after) > self.most for intent in intents):
            raise TooLargeError("hes.intents does not take it; raise its max.message.bytes")
        self.shared.intents |= {(intent.meter_id, intent.digest): intent for intent in intents}

    def close(self, opened: Opened) -> None:
        if self.shared.owner is opened:
            self.shared.owner = None


class FakeProofs:
    def __init__(self) -> None:
        self.ready = True
        self.around: Around = world()
        self.comes: Callable[[], None] = lambda: None
        """Before everything that Kafka has is known."""

    def proven(self, job: Job, meter: Meter, now_ms: int) -> Proven:
        return prove(self.around, job, meter, now_ms)

    def released(self, job: Job, value: bytes, now_ms: int) -> None:
        """Whoever wrote it."""

    def going(self, job: Job) -> None:
        """No campaign was stopped."""

    async def current(self) -> None:
        self.comes()


class FakeClaims:
    def __init__(self) -> None:
        self.caught_up, self.grants, self.claimed = True, True, 0

    def free_in_ms(self, _now_ms: int) -> int:
        return 0

    def claim(self, _meter_id: str, _digest: bytes, told: Callable[[bool], None]) -> Callable[[], None]:
        self.claimed += 1
        told(self.grants)
        return lambda: None


class Desk:
    """One worker's commands."""

    def __init__(self, shared: Shared | None = None) -> None:
        self.shared = shared or Shared()
        self.clock, self.proofs, self.claims = ManualClock(NOW), FakeProofs(), FakeClaims()
        self.ledger = FakeLedger(self.shared)
        self.owned = True
        self.fatal: list[Exception] = []
        self.intents = Intents(self.ledger, self.clock, lambda _: self.owned, pause_s=6, fatal=self.fatal.append)
        self.commands = Commands(self.clock, self.proofs, self.claims, self.intents, "test", lambda: 1)

    async def admitted(self, what: Job | None = None, offset: int = 5) -> Deed:
        return await self.commands.admit(what or job(), WHERE, offset)

    async def intended(self) -> Deed:
        deed = await self.admitted()
        deed.prove(meter())
        await deed.intend("connected")
        return deed


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


async def code_of(work: Coroutine[Any, Any, object]) -> str:
    try:
        await work
    except JobError as error:
        return error.code
    return ""


def test_an_intent_is_durable_before_anything_may_be_sent_and_settled_after() -> None:
    async def work() -> None:
        desk = Desk()
        deed = await desk.admitted()
        assert (deed.unsettled, deed.ended, desk.shared.intents) == (False, None, {})
        deed.prove(meter())
        await deed.intend("connected")
        (kept,) = desk.shared.intents.values()
        assert (kept.outcome, kept.at, kept.before, kept.record) == (
            Outcome.UNKNOWN,
            NOW,
            "connected",
            "hes.jobs.urgent/0/5",
        )
        deed.still()
        assert (deed.unsettled, desk.claims.claimed) == (True, 1)
        deed.known()
        await deed.settle(Outcome.DONE, "", "done", "connected", "disconnected")
        (kept,) = desk.shared.intents.values()
        assert (kept.outcome, kept.before, kept.after) == (Outcome.DONE, "connected", "disconnected")

    run(work())


def test_whoever_comes_after_a_crash_only_looks_and_a_copy_elsewhere_is_refused_once_it_has_ended() -> None:
    async def work() -> None:
        first = Desk()
        await first.intended()
        second = Desk(first.shared)
        deed = await second.admitted()
        assert (deed.unsettled, deed.before, deed.prove(meter())) == (True, "connected", None)
        with pytest.raises(RuntimeError):
            await deed.intend("connected")
        copied = await second.admitted(offset=9)
        assert copied.unsettled
        await deed.settle(Outcome.OUTCOME_UNKNOWN, "outcome-unknown", "?", "connected", "connected")
        again = await Desk(first.shared).admitted()
        assert again.ended is not None
        assert again.ended.outcome is Outcome.OUTCOME_UNKNOWN
        assert await code_of(Desk(first.shared).admitted(offset=9)) == "job-replayed"

    run(work())


def test_a_worker_that_was_replaced_can_write_no_intent_nor_an_outcome() -> None:
    async def work() -> None:
        first, late = Desk(), Desk()
        deed = await first.admitted()
        deed.prove(meter())
        late = Desk(first.shared)
        await late.admitted()
        assert await code_of(deed.intend("connected")) == "intent-unavailable"
        assert (first.shared.intents, deed.unsettled) == ({}, False)
        assert await code_of(first.admitted()) == "intent-unavailable"  # until the group has settled

        paused = await late.intended()
        await Desk(first.shared).admitted()
        with pytest.raises(FencedError):
            await paused.settle(Outcome.DONE, "", "", "", "")

    run(work())


@pytest.mark.parametrize(
    ("happens", "code"),
    [
        pytest.param(lambda _desk: None, "", id="nothing"),
        pytest.param(lambda desk: desk.clock.advance(3), "command-too-late", id="held-up"),
        pytest.param(lambda desk: setattr(desk.clock, "_now_ms", NOW + 2_001), "command-too-late", id="asleep"),
        pytest.param(lambda desk: setattr(desk.clock, "_monotonic", 2.1), "command-too-late", id="wall-clock-set-back"),
        pytest.param(lambda desk: setattr(desk, "owned", False), "command-too-late", id="replaced"),
        pytest.param(
            lambda desk: setattr(desk.proofs, "around", world(policy(), control(ControlKind.FREEZE, "carol"))),
            "frozen",
            id="frozen-in-between",
        ),
    ],
)
def test_just_before_the_octets(happens: Callable[[Desk], None], code: str) -> None:
    async def work() -> None:
        desk = Desk()
        deed = await desk.intended()
        happens(desk)
        if code:
            with pytest.raises(JobError) as caught:
                deed.still()
            assert caught.value.code == code
        else:
            deed.still()
        assert deed.unsettled is (not code)  # what was not sent is known not to be

    run(work())


def test_a_freeze_that_kafka_has_before_the_intent_counts() -> None:
    async def work() -> None:
        desk = Desk()
        deed = await desk.admitted()
        deed.prove(meter())
        desk.proofs.comes = lambda: setattr(desk.proofs, "around", world(policy(), control(ControlKind.FREEZE, "carol")))
        assert await code_of(deed.intend("connected")) == "frozen"
        assert (desk.shared.intents, desk.claims.claimed) == ({}, 0)

    run(work())


def test_where_nobody_can_say_whether_it_is_frozen_nothing_is_intended() -> None:
    def away() -> None:
        raise JobError("controls-behind", "Kafka is away", retry=True)

    async def work() -> None:
        desk = Desk()
        deed = await desk.admitted()
        deed.prove(meter())
        desk.proofs.comes = away
        assert await code_of(deed.intend("connected")) == "controls-behind"
        assert (desk.shared.intents, desk.claims.claimed) == ({}, 0)

    run(work())


def test_over_the_cap_nothing_is_intended() -> None:
    async def work() -> None:
        desk = Desk()
        desk.claims.grants = False
        deed = await desk.admitted()
        deed.prove(meter())
        assert await code_of(deed.intend("connected")) == "openings-capped"
        assert desk.shared.intents == {}

    run(work())


def test_bringing_supply_back_takes_none_of_the_cap() -> None:
    async def work() -> None:
        desk = Desk()
        desk.claims.grants = False
        value = sign(request(operation=Operation.RECONNECT), "alice")
        deed = await desk.admitted(replace(job(value), operation=Operation.RECONNECT, decisions=()))
        deed.prove(meter())
        await deed.intend("disconnected")
        assert (desk.claims.claimed, len(desk.shared.intents)) == (0, 1)

    run(work())


@pytest.mark.parametrize(
    ("what", "code"),
    [
        pytest.param(job(request=b"", decisions=()), "job-unproven", id="no-request"),
        pytest.param(job(id="made-up"), "job-other", id="an-id-of-its-own"),
        pytest.param(job(operation=Operation.RECONNECT), "job-other", id="another-operation"),
        pytest.param(job(asks(), b"nonsense"), "decision-unreadable", id="no-decision"),
    ],
)
def test_a_job_is_refused_before_anyone_connects(what: Job, code: str) -> None:
    async def work() -> None:
        deed = await Desk().admitted(what)
        with pytest.raises(JobError) as caught:
            deed.prove(meter())
        assert (caught.value.code, caught.value.alarm, caught.value.retry) == (code, True, False)

    run(work())


def test_a_command_that_was_refused_for_a_while_is_not_done_later() -> None:
    async def work() -> None:
        desk = Desk()
        desk.proofs.around = world(policy(), control(ControlKind.FREEZE, "carol"))
        deed = await desk.admitted()
        with pytest.raises(JobError, match="froze"):
            deed.prove(meter())
        await deed.settle(Outcome.FAILED, "frozen", "frozen", "", "")
        desk.proofs.around = world()
        assert await code_of(desk.admitted(offset=6)) == "job-replayed"

    run(work())


def test_what_proves_nothing_leaves_nothing_that_could_be_in_the_way_of_the_right_job() -> None:
    async def work() -> None:
        desk = Desk()
        deed = await desk.admitted(job(decisions=()), offset=1)
        with pytest.raises(JobError):
            deed.prove(meter())
        assert await deed.settle(Outcome.FAILED, "decision-missing", "", "", "") is None
        right = await desk.admitted(offset=2)
        right.prove(meter())
        await right.intend("connected")
        assert right.unsettled

    run(work())


def test_a_job_in_another_partition_than_its_meters_is_refused() -> None:
    async def work() -> None:
        desk = Desk()
        commands = replace(desk.commands, partitions=lambda: 12)
        assert await code_of(commands.admit(job(meter_id="m2"), ("hes.jobs.urgent", 0), 1)) in ("", "job-misplaced")
        codes = {await code_of(commands.admit(job(), ("hes.jobs.urgent", number), 1)) for number in range(12)}
        assert codes == {"", "job-misplaced"}

    run(work())


def test_while_kafka_is_away_nothing_is_sent_and_an_outcome_is_told_later() -> None:
    async def work() -> None:
        desk = Desk()
        deed = await desk.admitted()
        deed.prove(meter())
        desk.ledger.failing = [RuntimeError("away")]
        assert await code_of(deed.intend("connected")) == "intent-unavailable"
        assert not deed.unsettled
        await deed.intend("connected")
        deed.still()
        desk.ledger.failing = [RuntimeError("away")]
        deed.known()
        assert await code_of(deed.settle(Outcome.DONE, "", "", "", "")) == "intent-unavailable"
        kept = await deed.settle(Outcome.DONE, "", "", "", "")
        assert kept is not None
        assert kept.outcome is Outcome.DONE

    run(work())
