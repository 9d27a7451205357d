"""A desk with meters, operators and a clock that moves when told; what it writes, as records."""

from __future__ import annotations

from typing import Any

from schemas.records import (
    AuditEntry,
    CommandAck,
    CommandLedger,
    CommandState,
    Job,
    JobResult,
    Operation,
    Outcome,
    Record,
    Target,
)
from streams.commands.desk import Desk
from streams.runtime.authority.chain import Break, Link, walk
from streams.runtime.authority.policy import Policy
from streams.runtime.authority.verify import Around
from streams.runtime.books import Out
from streams.runtime.clock import ManualClock
from streams.runtime.meters import MeterDirectory
from streams.runtime.settings import Commands
from tests.unit.streams.runtime.authority.builders import CODEC, NOW, POLICY, asks, decides, meter, request, world


class Room:
    """A desk, and everything that it wrote."""

    def __init__(
        self, policy: Policy = POLICY, *controls: bytes, settings: Commands | None = None, around: Around | None = None
    ) -> None:
        self.clock = ManualClock(NOW)
        self.directory = MeterDirectory()
        for number in range(1, 10):
            self.meter(f"m{number}")
        self.settings = settings or Commands()
        self.around = around or world(policy, *controls)
        self.desk = Desk(self.around, self.directory, self.settings, self.clock)
        self.written: list[Out] = []

    def meter(self, name: str, **fields: Any) -> None:
        self.directory.apply(name, meter(name, **fields))

    def request(self, value: bytes) -> list[CommandState]:
        """Hand in a request; the states that were acknowledged."""
        self.desk.request(value)
        return self.states()

    def decision(self, value: bytes) -> list[CommandState]:
        self.desk.decision(value)
        return self.states()

    def result(self, job: Job, outcome: Outcome = Outcome.DONE, **fields: Any) -> list[CommandState]:
        """Let a gateway answer a job."""
        whole: dict[str, Any] = {
            "id": f"r-{job.id}-{outcome}",
            "job_id": job.id,
            "meter_id": job.meter_id,
            "operation": job.operation,
            "caused_by": job.caused_by,
            "outcome": outcome,
            "issued_at": job.issued_at,
            "started_at": job.issued_at + 5,
            "finished_at": job.issued_at + 50,
        }
        result = JobResult(**(whole | fields))
        self.desk.result(result, CODEC.encode(result))
        return self.states()

    def tick(self, seconds: float) -> list[CommandState]:
        self.clock.advance(seconds)
        self.desk.tick()
        return self.states()

    def take(self) -> list[Record]:
        """What was written since the last time."""
        self.desk.write_books({"hes.commands/0": 1})
        outs = self.desk.paper.take()
        self.written += outs
        return [out.record for out in outs if out.record is not None]

    def states(self) -> list[CommandState]:
        return [record.state for record in self.take() if isinstance(record, CommandAck)]

    def all(self, kind: type) -> list[Any]:
        return [out.record for out in self.written if isinstance(out.record, kind)]

    def jobs(self) -> list[Job]:
        return self.all(Job)

    def last(self) -> CommandAck:
        ack = self.all(CommandAck)[-1]
        assert isinstance(ack, CommandAck)
        return ack

    def audit(self) -> list[str]:
        """The actions on the chain, which must hold."""
        entries = self.all(AuditEntry)
        assert not any(isinstance(found, Break) for found in walk(entries))
        return [entry.action for entry in entries]

    def restarted(self) -> Room:
        """Another desk that has read back what this one wrote, as after a kill."""
        self.take()
        latest: dict[str, Record | None] = {}
        for out in self.written:
            if out.topic == "hes.command-states":
                latest[out.key] = out.record
        room = Room(settings=self.settings, around=self.around)
        room.clock, room.directory = self.clock, self.directory
        ledger = latest["ledger"]
        assert isinstance(ledger, CommandLedger)
        room.desk = Desk(self.around, self.directory, self.settings, self.clock, Link(ledger.sequence, ledger.hash))
        # As they come from Kafka: bytes, by key.
        room.desk.restore([CODEC.decode(CODEC.encode(record)) for record in latest.values() if record is not None])
        room.written = list(self.written)
        return room


S = CommandState
ASKED = asks()
READ = CODEC.encode(request(operation=Operation.READ_REGISTERS, by="mdm"))


def sent() -> Room:
    room = Room()
    room.request(ASKED)
    room.decision(decides(ASKED))
    return room


def many(room: Room, count: int, **fields: Any) -> bytes:
    for number in range(count):
        room.meter(f"b{number:03}", feeder="F9")
    return CODEC.encode(request(operation=Operation.PING, target=Target(feeders=("F9",)), **fields))
