"""A desk with meters, an image, operators and a clock that moves when told; what it writes, as records."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from schemas.records import (
    AuditEntry,
    Campaign,
    CampaignLedger,
    CampaignState,
    CommandAck,
    FirmwareManifest,
    Job,
    JobResult,
    Meter,
    MeterState,
    Network,
    Operation,
    Outcome,
    Protocol,
    Record,
    Target,
    Verdict,
)
from streams.firmware.desk import Desk
from streams.firmware.fleet import Fleet
from streams.runtime.authority.chain import Break, Link, walk
from streams.runtime.authority.refusals import Refusal
from streams.runtime.authority.verify import Around
from streams.runtime.books import Out
from streams.runtime.clock import ManualClock
from streams.runtime.image_book import ImageError
from streams.runtime.settings import Firmware
from tests.unit.streams.runtime.authority.builders import CODEC, decides, operator, request, sign, world

IMAGE = "ab" * 32
START = round(datetime(2026, 10, 5, 9, tzinfo=UTC).timestamp() * 1000)
HOUR, DAY = 3_600_000, 86_400_000
SMALL: dict[str, str] = {"canary": "1", "waves": "100%", "soak": "1h"}
LONG = {"valid_from": START - DAY, "valid_to": START + 400 * DAY}


def manifest(**fields: Any) -> FirmwareManifest:
    whole: dict[str, Any] = {
        "id": IMAGE,
        "size": 500_000,
        "vendor": "Acme",
        "model": "M1",
        "protocol": Protocol.DLMS,
        "to_version": "2.0",
        "signature": b"s",
    }
    return FirmwareManifest(**(whole | fields))


def meter(name: str, **fields: Any) -> Meter:
    whole: dict[str, Any] = {
        "vendor": "Acme",
        "model": "M1",
        "protocol": Protocol.DLMS,
        "firmware": "1.0",
        "network": Network.NB_IOT,
        "segment": "cell1",
        "time_zone": "Europe/Madrid",
        "groups": ("all",),
        "state": MeterState.NORMAL,
    }
    return Meter(id=name, **(whole | fields))


def around() -> Around:
    """Alice may propose, carol decides, over the time of a campaign."""
    return world(
        alice2=operator("alice", ("meter-operator",), version=2, **LONG),
        bob2=operator("bob", ("meter-operator",), version=2, **LONG),
        carol2=operator("carol", ("supervisor",), version=2, **LONG),
        desk2=operator("desk", ("requester",), version=2, **LONG),
    )


class Images:
    """The image store, as far as campaigns ask it."""

    def __init__(self, *manifests: FirmwareManifest) -> None:
        self.found: dict[str, FirmwareManifest | Refusal] = {found.id: found for found in manifests}
        self.forged: set[str] = set()

    def value(self, image_id: str) -> bytes | None:
        found = self.found.get(image_id)
        return CODEC.encode(found) if isinstance(found, FirmwareManifest) else None

    def data(self, image_id: str) -> bytes:
        if image_id in self.forged:
            raise ImageError("image-invalid", "its SHA-256 is another")
        return b"image"

    def judge(self, image_id: str) -> FirmwareManifest | Refusal:
        return self.found.get(image_id, Refusal("image-missing", f"there is no image {image_id[:12]}"))


class Room:
    """A desk, and everything that it wrote."""

    def __init__(self, *meters: Meter, settings: Firmware | None = None, images: Images | None = None) -> None:
        self.clock = ManualClock(START)
        self.fleet = Fleet()
        self.around = around()
        self.images = images or Images(manifest())
        self.settings = settings or Firmware()
        for found in meters:
            self.fleet.apply(found.id, found)
        self.desk = self._desk()
        self.written: list[Out] = []
        self.latest: dict[str, Record | None] = {}
        """On hes.campaigns, by key."""

    def _desk(self, link: Link | None = None) -> Desk:
        return Desk(self.around, self.fleet, self.images, self.settings, self.clock, link or Link())

    def asks(self, *meters: str, by: str = "alice", name: str = "f1", target: Target | None = None, **terms: str) -> bytes:
        """A proposal, signed now."""
        parameters = {"image": IMAGE, "version": "2.0"} | {key.replace("_", "-"): text for key, text in terms.items()}
        asked = request(
            by=by,
            id=name,
            target=target or (Target(meters=meters) if meters else Target(groups=("all",))),
            operation=Operation.FIRMWARE_TRANSFER,
            parameters=parameters,
            requested_at=self.clock.now_ms() - 1_000,
            reason="better billing",
        )
        return sign(asked, by)

    def decides(self, value: bytes, by: str = "carol", verdict: Verdict = Verdict.APPROVE, **fields: Any) -> bytes:
        asked = CODEC.decode(value)
        case = self.desk.case(getattr(asked, "id", ""))
        meters = case.meters if case is not None else ("nobody",)
        return decides(value, *meters, by=by, verdict=verdict, **({"decided_at": self.clock.now_ms()} | fields))

    def begin(self, *meters: str, name: str = "f1", **terms: str) -> bytes:
        """Proposed and approved."""
        value = self.asks(*meters, name=name, target=None, **terms)
        self.desk.request(value)
        self.desk.decision(self.decides(value))
        self.take()
        return value

    def tick(self, seconds: float = 0) -> list[Job]:
        """Let time pass; the jobs that were sent."""
        self.clock.advance(seconds)
        self.desk.tick()
        return [record for record in self.take() if isinstance(record, Job)]

    def night(self, day: int = 1) -> list[Job]:
        """Go to the opening of a night, so many nights from the start: 00:00 in Madrid."""
        at = START - START % DAY + day * DAY - 2 * HOUR
        return self.tick((at - self.clock.now_ms()) / 1000)

    def answer(self, job: Job, outcome: Outcome = Outcome.DONE, after_s: float = 300, **fields: Any) -> None:
        """Let a gateway answer a job so long after its start."""
        start = job.not_before or job.issued_at
        finished = start + round(after_s * 1000)
        self.clock.advance(max(0, finished - self.clock.now_ms()) / 1000)
        whole: dict[str, Any] = {
            "id": f"r-{job.id}-{outcome}",
            "job_id": job.id,
            "meter_id": job.meter_id,
            "operation": job.operation,
            "cause": job.cause,
            "caused_by": job.caused_by,
            "attempt": job.attempt,
            "outcome": outcome,
            "issued_at": job.issued_at,
            "started_at": start,
            "finished_at": finished,
            "after": "2.0" if outcome is Outcome.DONE else "",
        }
        result = JobResult(**(whole | fields))
        self.desk.result(result, CODEC.encode(result))

    def take(self) -> list[Record]:
        """What was written since the last time."""
        self.desk.write_books({"hes.commands/0": 1})
        outs = self.desk.paper.take()
        self.written += outs
        self.latest |= {out.key: out.record for out in outs if out.topic == "hes.campaigns"}
        return [out.record for out in outs if out.record is not None]

    def all(self, kind: type) -> list[Any]:
        return [out.record for out in self.written if isinstance(out.record, kind)]

    def jobs(self) -> list[Job]:
        self.take()
        return self.all(Job)

    def acks(self) -> list[CommandAck]:
        self.take()
        return self.all(CommandAck)

    def codes(self) -> list[str]:
        return [ack.code for ack in self.acks() if ack.code]

    def state(self, name: str = "f1") -> CampaignState:
        case = self.desk.case(name)
        return CampaignState.UNKNOWN if case is None else case.state

    def counts(self, name: str = "f1") -> dict[str, int]:
        case = self.desk.case(name)
        assert case is not None
        assert case.counts() == Counter(case.meter(index) for index in range(len(case.meters)))
        return {meter.value: count for meter, count in case.counts().items() if count}

    def audit(self) -> list[AuditEntry]:
        """The chain of campaigns, which must hold."""
        self.take()
        entries: list[AuditEntry] = self.all(AuditEntry)
        assert not any(isinstance(found, Break) for found in walk(entries, chain="firmware"))
        return entries

    def last(self) -> Campaign:
        self.take()
        found = self.all(Campaign)[-1]
        assert isinstance(found, Campaign)
        return found

    def restart(self) -> None:
        """Another desk that has read back what this one wrote, as after a kill."""
        self.take()
        ledger = self.latest.get("ledger")
        assert isinstance(ledger, CampaignLedger)
        self.desk = self._desk(Link(ledger.sequence, ledger.hash))
        # As they come from Kafka: bytes, by key.
        self.desk.restore([CODEC.decode(CODEC.encode(record)) for record in self.latest.values() if record is not None])


def room(count: int = 3, **fields: Any) -> Room:
    """A desk with so many meters."""
    return Room(*(meter(f"m{number}", **fields) for number in range(count)))
