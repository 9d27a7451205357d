"""Campaigns on a real Kafka: proposed, approved, sent in waves, ended; refused and on their chain; killed in mid-wave."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, cast

import pytest

from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.demo.stage import Child
from connectors.cli.topics import read_topic
from connectors.local.home import Home
from schemas.records import (
    AuditEntry,
    Campaign,
    CampaignState,
    CampaignStop,
    CommandDecision,
    CommandRequest,
    CommandState,
    FirmwareManifest,
    Job,
    JobResult,
    Network,
    Operation,
    Operator,
    Outcome,
    Protocol,
    Target,
    Verdict,
)
from schemas.signatures import public_key
from streams.runtime.authority.chain import Break, walk_all
from streams.runtime.authority.controls import Controls
from streams.runtime.authority.jobs import verify_job
from streams.runtime.authority.operators import Operators
from streams.runtime.authority.policy_file import load_policy
from streams.runtime.authority.refusals import Proven
from streams.runtime.authority.verify import Around, named
from streams.runtime.image_book import parts_of
from streams.runtime.settings import Settings
from tests.integration.commands_rig import ENVIRONMENT, Rig
from tests.unit.streams.runtime.authority.builders import ROOT, key, meter

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("jvm"), pytest.mark.timeout(300)]
IMAGE = bytes(range(256)) * 80
DIGEST = hashlib.sha256(IMAGE).hexdigest()
METERS = tuple(f"f{number:03}" for number in range(120))
PLACE = {"vendor": "Acme", "model": "M1", "protocol": Protocol.DLMS, "network": Network.ETHERNET, "firmware": "1.0"}
TERMS = {
    "image": DIGEST, "version": "2.0", "windows": "00:00-24:00", "canary": "3", "waves": "30%,100%", "soak": "0m",
    "wave-done": "100%",
}  # fmt: skip


def now() -> int:
    return time.time_ns() // 1_000_000


def manifest(rig: Rig, by: str = "alice", image: bytes = IMAGE, **fields: Any) -> bytes:
    whole: dict[str, Any] = {
        "id": hashlib.sha256(image).hexdigest(), "name": "m1.bin", "size": len(image), "vendor": "Acme", "model": "M1",
        "protocol": Protocol.DLMS, "to_version": "2.0", "parts": 1, "part_size": len(image), "added_by": by,
        "added_at": now(), "environment": "test",
    }  # fmt: skip
    return rig.sign(FirmwareManifest(**(whole | fields)), by)


@pytest.fixture(scope="module")
def running(jvm: None) -> Iterator[tuple[Settings, Home]]:
    with bench_stack(lambda _: None) as stack:
        rig = Rig(stack[0])
        for group, names in {"all": METERS, "few": ("g1", "g2", "g3")}.items():
            rig.meters(*names, **PLACE, groups=(group,))
        rig.meters("other", **(PLACE | {"model": "M9"}))
        rig.meters("later", **(PLACE | {"firmware": "3.0"}))
        people = {"alice": ("meter-operator",), "carol": ("supervisor",), "dora": ("meter-operator",)}
        for name, roles in people.items():
            person = Operator(
                id=name, roles=roles, public_key=public_key(key(name)), valid_from=now() - 60_000,
                valid_to=now() + 100 * 86_400_000, version=1,
            )  # fmt: skip
            rig.send("hes.operators", name, rig.sign(person, "root"))
        rig.send("hes.images", DIGEST, manifest(rig))
        for part in parts_of(IMAGE, DIGEST, len(IMAGE)):
            rig.send("hes.images", f"{DIGEST}/{part.number}", part)
        rig.close()
        yield stack


@pytest.fixture
def rig(running: tuple[Settings, Home]) -> Iterator[Rig]:
    found = Rig(running[0])
    yield found
    found.close()


def propose(rig: Rig, name: str, target: Target, by: str = "alice", **terms: str) -> bytes:
    request = CommandRequest(
        id=name, target=target, operation=Operation.FIRMWARE_TRANSFER, parameters=TERMS | terms, requested_by=by,
        requested_at=now(), reason="a test", environment="test",
    )  # fmt: skip
    return rig.ask(request)


def decide(rig: Rig, value: bytes, meters: tuple[str, ...], verdict: Verdict = Verdict.APPROVE, by: str = "carol") -> None:
    asked = rig.codec.decode(value)
    assert isinstance(asked, CommandRequest)
    listed, root = named(meters)
    decision = CommandDecision(
        id=f"{asked.id}-{verdict}", command_id=asked.id, request_digest=rig.digest(value), meters=listed, target_root=root,
        environment="test", verdict=verdict, decided_by=by, decided_at=now(),
    )  # fmt: skip
    rig.send("hes.command-decisions", asked.id, rig.sign(decision, by))


def transfers(rig: Rig, name: str) -> list[Job]:
    return [job for job in rig.jobs(name) if job.operation is Operation.FIRMWARE_TRANSFER]


def answer(rig: Rig, job: Job) -> None:
    """A gateway's word, so late that the job's own start has come."""
    rig.send(
        "hes.events.urgent",
        job.meter_id,
        JobResult(
            id=f"r-{job.id}", job_id=job.id, meter_id=job.meter_id, operation=job.operation, caused_by=job.caused_by,
            attempt=job.attempt, outcome=Outcome.DONE, after="2.0", rows=100, issued_at=job.issued_at,
            started_at=job.not_before or 0, finished_at=(job.not_before or 0) + 1_000,
        ),
    )  # fmt: skip


def answering(rig: Rig, name: str, answered: set[str], enough: Callable[[], bool]) -> None:
    """Answer every job as it comes, until that is enough."""

    def all_is_well() -> bool:
        for job in transfers(rig, name):
            if job.id not in answered:
                answered.add(job.id)
                answer(rig, job)
        return enough()

    rig.until(f"the end of {name}", all_is_well)


def chains(rig: Rig) -> list[AuditEntry]:
    """All entries; every chain must be sound from its beginning."""
    entries = rig.records("hes.audit", AuditEntry)
    assert [found for _, found in walk_all(entries) if isinstance(found, Break)] == []
    return entries


def kill(child: Child) -> None:
    assert child.running is not None
    os.kill(child.running.pid, signal.SIGKILL)


def test_killed_in_each_phase_every_meter_is_sent_the_image_once_and_the_chain_is_one(
    running: tuple[Settings, Home], rig: Rig
) -> None:
    settings, home = running
    meters, answered = tuple(sorted(METERS)), set[str]()
    with service("commands", settings, home, ENVIRONMENT), service("firmware", settings, home, ENVIRONMENT) as worker:
        value = propose(rig, "c1", Target(groups=("all",)))
        rig.state("c1", CommandState.AWAITING_APPROVAL)
        kill(worker)
        assert rig.jobs("c1") == []
        decide(rig, value, meters)
        for enough in (10, 60):
            with service("firmware", settings, home, ENVIRONMENT) as next_worker:
                answering(rig, "c1", answered, lambda enough=enough: len(answered) >= enough)  # type: ignore[misc]  # bound
                kill(next_worker)
        with service("firmware", settings, home, ENVIRONMENT):
            decide(rig, value, meters, Verdict.PAUSE)
            rig.state("c1", CommandState.QUEUED, "campaign-paused")
            answering(rig, "c1", answered, lambda: len(answered) == len(transfers(rig, "c1")))
            before = len(transfers(rig, "c1"))
            assert before < len(METERS)
            decide(rig, value, meters, Verdict.RESUME)
            answering(rig, "c1", answered, lambda: len(answered) == len(METERS))
            rig.state("c1", CommandState.DONE)
    jobs = transfers(rig, "c1")
    assert Counter(job.meter_id for job in jobs) == dict.fromkeys(METERS, 1)
    assert {job.attempt for job in jobs} == {1}
    place = meter("f000", groups=("all",), **PLACE)
    (one,) = [job for job in jobs if job.meter_id == "f000"]
    assert isinstance(verify_job(around(rig), one, place, now()), Proven)
    entries = chains(rig)
    assert [entry.action for entry in entries if entry.subject == "c1" and not entry.chain] == []
    told = [entry.action.removeprefix("campaign-") for entry in entries if entry.subject == "c1"]
    assert told[:4] == ["draft", "approved", "canary", "waves"]
    assert told[-1] == "done"
    assert latest(rig, "c1").state is CampaignState.DONE
    stops = [rig.codec.decode(message.value()) for message in read_topic(rig.settings, "hes.campaign-stops")]
    (stop,) = [found for found in stops if isinstance(found, CampaignStop) and found.id == "c1"]
    assert (stop.final, stop.code) == (False, "campaign-paused")
    issued = sorted(job.issued_at for job in jobs)
    assert len([at for at in issued if at <= stop.at]) == before


REFUSED: dict[str, tuple[Target, dict[str, str], str]] = {
    "no-image": (Target(groups=("few",)), {"image": "ab" * 32}, "image-missing"),
    "another-version": (Target(groups=("few",)), {"version": "2.1"}, "image-version"),
    "wrong-model": (Target(meters=("other",)), {}, "meter-model"),
    "downgrade": (Target(meters=("later",)), {}, "meter-downgrade"),
    "unknown-term": (Target(groups=("few",)), {"hours": "1"}, "argument-invalid"),
}


def test_refused_each_for_its_reason_and_on_the_chain(running: tuple[Settings, Home], rig: Rig) -> None:
    settings, home = running
    forged = IMAGE[:-1] + b"!"
    forgery = hashlib.sha256(forged).hexdigest()
    rig.send("hes.images", forgery, manifest(rig, image=forged))
    rig.send("hes.images", f"{forgery}/0", next(parts_of(IMAGE, forgery, len(IMAGE))))
    altered = hashlib.sha256(b"altered").hexdigest()
    signed = rig.codec.decode(manifest(rig, image=b"altered"))
    assert isinstance(signed, FirmwareManifest)
    rig.send("hes.images", altered, rig.codec.encode(FirmwareManifest(**(fields_of(signed) | {"model": "M9"}))))
    with service("firmware", settings, home, ENVIRONMENT):
        for name, (target, terms, code) in REFUSED.items():
            propose(rig, name, target, **terms)
            rig.state(name, CommandState.REJECTED, code)
        propose(rig, "forged", Target(groups=("few",)), image=forgery)
        rig.state("forged", CommandState.REJECTED, "image-invalid")
        propose(rig, "altered", Target(groups=("few",)), image=altered)
        rig.state("altered", CommandState.REJECTED, "signature-invalid")
        propose(rig, "unsigned", Target(groups=("few",)), by="unsigned")
        rig.state("unsigned", CommandState.REJECTED, "unsigned")
        value = propose(rig, "unapproved", Target(groups=("few",)))
        rig.state("unapproved", CommandState.AWAITING_APPROVAL)
        decide(rig, value, ("g1", "g2", "g3"), by="dora")
        rig.state("unapproved", CommandState.AWAITING_APPROVAL, "role-missing")
        decide(rig, value, ("g1", "g2"))
        rig.state("unapproved", CommandState.AWAITING_APPROVAL, "decision-other-target")
        assert not any(rig.jobs(name) for name in (*REFUSED, "forged", "altered", "unsigned", "unapproved"))
        decide(rig, value, ("g1", "g2", "g3"), Verdict.CANCEL, by="alice")
        rig.state("unapproved", CommandState.CANCELLED)
    codes = {entry.code for entry in chains(rig) if entry.chain == "firmware"}
    wanted = {code for _, _, code in REFUSED.values()}
    assert codes >= wanted | {"image-invalid", "signature-invalid", "unsigned", "role-missing", "decision-other-target"}


def fields_of(record: FirmwareManifest) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def around(rig: Rig) -> Around:
    """What a gateway knows of operators."""
    policy = load_policy()
    operators = Operators(rig.codec, "test", (public_key(ROOT),))
    for message in read_topic(rig.settings, "hes.operators"):
        operators.apply(message.value())
    return Around(rig.codec, "test", policy, operators, Controls(rig.codec, "test", operators, policy))


def latest(rig: Rig, name: str) -> Campaign:
    """The campaign as hes.campaigns has it, once it is done."""

    def done() -> Campaign | None:
        values = [m.value() for m in read_topic(rig.settings, "hes.campaigns") if m.key() == f"campaign/{name}".encode()]
        found = rig.codec.decode(values[-1]) if values else None
        return found if isinstance(found, Campaign) and found.state is CampaignState.DONE else None

    return cast("Campaign", rig.until(f"the end of {name} in the books", done))
