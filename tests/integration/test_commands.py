"""Commands on a real Kafka: asked, approved, issued once, answered; refused and on the chain; killed and paused."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.demo.stage import Child
from connectors.local.home import Home
from schemas.records import (
    AuditEntry,
    CommandDecision,
    CommandLedger,
    CommandRequest,
    CommandState,
    DeadLetter,
    Operation,
    Operator,
    Outcome,
    Target,
    Verdict,
)
from schemas.signatures import public_key
from streams.runtime.authority.chain import Break, walk
from streams.runtime.settings import Settings
from tests.integration.commands_rig import ENVIRONMENT, Rig
from tests.unit.streams.runtime.authority.builders import key

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("jvm"), pytest.mark.timeout(300)]
S = CommandState


@pytest.fixture(scope="module")
def running(jvm: None) -> Iterator[tuple[Settings, Home]]:
    with bench_stack(lambda _: None) as stack:
        rig = Rig(stack[0])
        rig.meters("m1", "m2", "m3", "m4", "m5", "m6")
        rig.meters("vital", life_support=True)
        now = time.time_ns() // 1_000_000
        for name, roles in {"alice": ("meter-operator",), "bob": ("meter-operator",), "carol": ("supervisor",)}.items():
            person = Operator(
                id=name,
                roles=roles,
                public_key=public_key(key(name)),
                valid_from=now - 60_000,
                valid_to=now + 3_600_000,
                version=1,
            )
            rig.send("hes.operators", name, rig.sign(person, "root"))
        rig.close()
        yield stack


@pytest.fixture
def rig(running: tuple[Settings, Home]) -> Iterator[Rig]:
    found = Rig(running[0])
    yield found
    found.close()


def request(name: str, *meters: str, by: str = "alice", **fields: Any) -> CommandRequest:
    whole: dict[str, Any] = {
        "id": name,
        "target": Target(meters=meters),
        "operation": Operation.DISCONNECT,
        "requested_by": by,
        "requested_at": time.time_ns() // 1_000_000,
        "reason": "a test",
        "environment": "test",
    }
    return CommandRequest(**(whole | fields))


def decide(rig: Rig, value: bytes, *meters: str, by: str = "bob", **fields: Any) -> None:
    asked = rig.codec.decode(value)
    assert isinstance(asked, CommandRequest)
    whole: dict[str, Any] = {
        "id": f"{asked.id}-{by}",
        "command_id": asked.id,
        "request_digest": rig.digest(value),
        "meters": meters,
        "environment": "test",
        "verdict": Verdict.APPROVE,
        "decided_by": by,
        "decided_at": time.time_ns() // 1_000_000,
    }
    rig.send("hes.command-decisions", asked.id, rig.sign(CommandDecision(**(whole | fields)), by))


def chain(rig: Rig) -> list[AuditEntry]:
    """The audit entries, which must be one sound chain from its beginning."""
    entries = rig.records("hes.audit", AuditEntry)
    breaks = [found for found in walk(entries) if isinstance(found, Break)]
    assert breaks == []
    return entries


def test_asked_approved_issued_once_answered_over_a_clean_restart(running: tuple[Settings, Home], rig: Rig) -> None:
    settings, home = running
    with service("commands", settings, home, ENVIRONMENT):
        value = rig.ask(request("once", "m1"))
        rig.state("once", S.AWAITING_APPROVAL)
    with service("commands", settings, home, ENVIRONMENT):
        decide(rig, value, "m1")
        rig.state("once", S.SENT)
        rig.send("hes.commands", "once", value)
        rig.state("once", S.SENT, "command-replayed")
    (job,) = rig.jobs("once")
    assert job.request == value
    with service("commands", settings, home, ENVIRONMENT):
        rig.answer(job, outcome=Outcome.DONE, before="connected", after="disconnected")
        ack = rig.state("once", S.DONE)
        assert (ack.before, ack.after) == ("connected", "disconnected")
    assert len(rig.jobs("once")) == 1
    actions = [entry.action for entry in chain(rig) if entry.subject == "once"]
    wanted = ["received", "awaiting-approval", "approved", "queued", "sent"]
    assert actions == [f"command-{action}" for action in wanted] + ["request-refused", "command-done"]


def test_refused_each_for_its_reason_and_on_the_chain(running: tuple[Settings, Home], rig: Rig) -> None:
    settings, home = running
    with service("commands", settings, home, ENVIRONMENT):
        asked = {
            "unsigned": rig.ask(request("unsigned", "m1", by="unsigned")),
            "operator-unknown": rig.ask(request("operator-unknown", "m1", by="eve")),
            "protected": rig.ask(request("protected", "vital")),
            "target-unknown": rig.ask(request("target-unknown", "nobody")),
            "request-not-fresh": rig.ask(request("request-not-fresh", "m1", requested_at=1)),
        }
        rig.send("hes.commands", "junk", b"junk")
        for code in asked:
            rig.state(code, S.REJECTED, code)
        value = rig.ask(request("own", "m2"))
        rig.state("own", S.AWAITING_APPROVAL)
        decide(rig, value, "m2", by="alice")
        decide(rig, value, "m3")
        decide(rig, value, "m2", request_digest=bytes(32))
        for code in ("decision-self", "decision-other-target", "decision-other-request"):
            rig.state("own", S.AWAITING_APPROVAL, code)
        assert not any(rig.jobs(name) for name in (*asked, "own"))
        decide(rig, value, "m2", by="alice", verdict=Verdict.CANCEL)
        rig.state("own", S.CANCELLED)
    codes = {entry.code for entry in chain(rig)}
    assert codes >= {*asked, "request-unreadable", "decision-self", "decision-other-target", "decision-other-request"}
    assert [letter.code for letter in rig.records("hes.dead-letters", DeadLetter)] == ["avro-framing"]


def test_killed_in_mid_stream_each_job_is_issued_once_and_the_chain_is_one(running: tuple[Settings, Home], rig: Rig) -> None:
    """Reads go at once, so every kill falls into work: requests are there when the worker comes."""
    settings, home = running
    names = [f"k{number:03}" for number in range(60)]
    for first in (0, 30):
        for name in names[first : first + 30]:
            rig.ask(request(name, "m4", operation=Operation.READ_CLOCK))
        with service("commands", settings, home, ENVIRONMENT) as worker:
            _until_issued(rig, names[first])
            _signal(worker, signal.SIGKILL)
    with service("commands", settings, home, ENVIRONMENT):
        rig.state(names[-1], S.SENT)
        jobs = {name: len(rig.jobs(name)) for name in names}
    assert set(jobs.values()) == {1}
    subjects = [entry.subject for entry in chain(rig) if entry.action == "command-sent"]
    assert sorted(name for name in subjects if name in names) == names


@pytest.mark.long
def test_paused_longer_than_its_session_a_worker_writes_nothing_when_it_wakes(
    running: tuple[Settings, Home], rig: Rig
) -> None:
    settings, home = running
    first_of, second_of = (ENVIRONMENT | {"HES_KAFKA__INSTANCE_ID": name} for name in ("first", "second"))
    with service("commands", settings, home, first_of) as first:
        value = rig.ask(request("paused", "m5"))
        rig.state("paused", S.AWAITING_APPROVAL)
        _signal(first, signal.SIGSTOP)
        decide(rig, value, "m5")
        with service("commands", settings, home, second_of):
            rig.state("paused", S.SENT)
            _signal(first, signal.SIGCONT)
            (job,) = rig.jobs("paused")
            rig.answer(job, outcome=Outcome.DONE)
            rig.state("paused", S.DONE)
            for number in range(10):
                rig.ask(request(f"after{number}", "m6", operation=Operation.PING))
            rig.state("after9", S.SENT)
            assert [len(rig.jobs(f"after{number}")) for number in range(10)] == [1] * 10
    assert len(rig.jobs("paused")) == 1
    chain(rig)
    ledgers = rig.records("hes.command-states", CommandLedger)
    assert [ledger.sequence for ledger in ledgers] == sorted(ledger.sequence for ledger in ledgers)


def _until_issued(rig: Rig, name: str) -> None:
    rig.until("a job", lambda: rig.jobs(name))


def _signal(child: Child, number: int) -> None:
    assert child.running is not None
    os.kill(child.running.pid, number)
