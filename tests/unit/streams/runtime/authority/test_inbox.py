"""What is handed in: in which order it is handled, and what becomes of what cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from confluent_kafka import Message

from schemas.records import Alarm, AuditEntry, CommandRequest, JobResult, Record
from schemas.registry import RegistryError
from streams.runtime.authority.chain import START, walk
from streams.runtime.authority.inbox import COMMANDS, CONTROLS, DECISIONS, EVENTS, OPERATORS, TOPICS, Inbox
from streams.runtime.authority.paper import Paper, Reason
from streams.runtime.books import Books, Out
from streams.runtime.clock import ManualClock
from streams.runtime.errors import TemporaryError
from streams.runtime.tracing import REPLAY, TRACE
from tests.unit.streams.fakes import CODEC, FakeMessage, fake_runtime

RESULT = JobResult(id="r", job_id="j")
REQUEST = CODEC.encode(CommandRequest(id="c"))


@dataclass
class FakeDesk:
    paper: Paper
    did: list[tuple[str, Any]] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    fails: Exception | None = None

    def note(self, what: str, value: Any) -> None:
        if self.fails is not None:
            raise self.fails
        self.did.append((what, value))
        self.traces.append(self.paper.parent)
        self.paper.put("acks", what, None)

    def operator(self, value: bytes | None) -> None:
        self.note("operator", value)

    def control(self, value: bytes | None) -> None:
        self.note("control", value)

    def request(self, value: bytes | None) -> None:
        self.note("request", value)

    def decision(self, value: bytes | None) -> None:
        self.note("decision", value)

    def result(self, result: JobResult, value: bytes) -> None:
        assert CODEC.decode(value) == result
        self.note("result", result)

    def tick(self) -> None:
        self.note("tick", None)

    def write_books(self, positions: dict[str, int]) -> None:
        self.note("books", positions)


@dataclass
class FakeBooks:
    topics: dict[str, list[FakeMessage]] = field(default_factory=dict)
    written: list[Out] = field(default_factory=list)

    def all(self, topic: str) -> list[FakeMessage]:
        return self.topics[topic]

    def write(self, outs: Sequence[Out]) -> None:
        self.written += outs


def message(topic: str, value: bytes | None, at: int = 0, **headers: bytes) -> Message:
    return cast("Message", FakeMessage(value, at, source=topic, pairs=[*headers.items()]))


class Bench:
    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, positions: dict[str, int] | None = None, *, checks: bool = False
    ) -> None:
        runtime, _, self.clock = fake_runtime("commands")
        self.desk = FakeDesk(Paper(self.clock.now_ms))
        self.unreadable: list[str] = []
        note = (lambda _message, error: self.unreadable.append(error.code)) if checks else None
        self.inbox = Inbox(runtime, self.desk, positions or {}, note)
        self.books = FakeBooks()
        self.waiting: list[Message] = []
        monkeypatch.setattr(self.inbox._inputs, "take", lambda _records, _wait: self.waiting)

    @property
    def kinds(self) -> list[str]:
        return [what for what, _ in self.desk.did]

    def relearn(self, topic: str, *messages: Message) -> list[bytes | None]:
        learnt: list[bytes | None] = []
        self.books.topics[topic] = cast("list[FakeMessage]", list(messages))
        self.inbox.relearn(cast("Books", self.books), topic, learnt.append)
        return learnt


def test_a_revocation_counts_before_what_came_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.waiting = [message(topic, CODEC.encode(RESULT)) for topic in (DECISIONS, COMMANDS, EVENTS, CONTROLS, OPERATORS)]
    assert bench.inbox.work(10, 0.1) == 5
    assert bench.kinds == ["operator", "control", "result", "request", "decision", "tick"]


def test_records_of_one_topic_stay_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.waiting = [message(COMMANDS, b"%d" % at, at) for at in range(4)]
    bench.inbox.work(10, 0.1)
    assert [value for _, value in bench.desk.did[:-1]] == [b"0", b"1", b"2", b"3"]
    assert [(part.topic, part.partition, part.offset) for part in bench.inbox.positions] == [(COMMANDS, 0, 4)]


def test_time_passes_also_where_nothing_came(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    assert (bench.inbox.work(10, 0.1), bench.kinds) == (0, ["tick"])


def test_what_is_caused_belongs_to_the_trace_of_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.waiting = [message(COMMANDS, REQUEST, 0, **{TRACE: b"00-1"}), message(DECISIONS, b"", 0)]
    bench.inbox.work(10, 0.1)
    assert bench.desk.traces == ["00-1", "", ""]


def test_a_replay_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.inbox.accept(message(COMMANDS, REQUEST, 6, **{REPLAY: b"again"}))
    assert (bench.kinds, [part.offset for part in bench.inbox.positions]) == ([], [7])


@pytest.mark.parametrize(
    ("value", "kinds"),
    [(CODEC.encode(RESULT), ["result"]), (CODEC.encode(Alarm(id="a")), []), (b"junk", []), (None, [])],
    ids=["a-result", "an-alarm", "junk", "a-tombstone"],
)
@pytest.mark.parametrize("checks", [False, True])
def test_of_events_only_results_are_handed_in(
    monkeypatch: pytest.MonkeyPatch, value: bytes | None, kinds: list[str], checks: bool
) -> None:
    bench = Bench(monkeypatch, checks=checks)
    bench.inbox.accept(message(EVENTS, value))
    assert (bench.kinds, bench.unreadable) == (kinds, [])


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic != EVENTS])
def test_what_cannot_be_read_is_told_and_handed_in_all_the_same(monkeypatch: pytest.MonkeyPatch, topic: str) -> None:
    bench = Bench(monkeypatch, checks=True)
    bench.inbox.accept(message(topic, b"junk"))
    bench.inbox.accept(message(topic, REQUEST))
    assert (len(bench.kinds), bench.unreadable) == (2, ["avro-framing"])


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("checks", [False, True])
def test_where_the_registry_is_away_nothing_counts_as_handled(
    monkeypatch: pytest.MonkeyPatch, topic: str, checks: bool
) -> None:
    bench = Bench(monkeypatch, checks=checks)
    bench.desk.fails = RegistryError("the registry is away", retry=True)
    with pytest.raises(TemporaryError, match="registry is away"):
        bench.inbox.accept(message(topic, CODEC.encode(RESULT)))
    assert bench.inbox.positions == []


def test_a_topic_that_is_a_book_is_learnt_up_to_where_it_was_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, {f"{OPERATORS}/0": 2})
    learnt = bench.relearn(OPERATORS, *(message(OPERATORS, b"%d" % at, at) for at in range(4)))
    assert (learnt, bench.desk.did) == ([b"0", b"1"], [("operator", b"2"), ("operator", b"3")])
    assert [part.offset for part in bench.inbox.positions] == [4]


def test_what_is_written_says_how_far_everything_is_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.inbox.accept(message(COMMANDS, REQUEST, 4))
    outs = bench.inbox.write(cast("Books", bench.books))
    assert bench.desk.did[-1] == ("books", {f"{COMMANDS}/0": 5})
    assert [out.key for out in outs] == [out.key for out in bench.books.written] == ["request", "books"]
    assert len(bench.desk.paper) == 0


def test_positions_that_moved_nothing_are_written_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    late = [bench.inbox.late]
    for seconds in (30, 1):
        bench.clock.advance(seconds)
        late.append(bench.inbox.late)
    bench.inbox.write(cast("Books", bench.books))
    assert (late, bench.inbox.late) == ([False, False, True], False)


def test_each_service_has_a_chain_of_its_own() -> None:
    class Other(Paper):
        chain = "firmware"

    clock = ManualClock(7)
    for kind, chain in ((Paper, ""), (Other, "firmware")):
        paper = kind(clock.now_ms)
        for name in ("one", "two"):
            paper.audit("command-done", name, Reason("alice", "", "because", b"\1"))
        entries = [cast("AuditEntry", cast("Record", out.record)) for out in paper.take()]
        assert [(entry.chain, entry.sequence, entry.subject) for entry in entries] == [(chain, 1, "one"), (chain, 2, "two")]
        assert [*walk(entries, START, chain)][-1] == paper.link
