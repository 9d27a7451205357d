"""The one who leads: when the office is opened, and whatever closes it; Kafka, the group and time in the test's hands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from prometheus_client import Gauge

from schemas.registry import RegistryError
from streams.runtime import leading, metrics
from streams.runtime.books import FencedError
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.leading import Leader
from streams.runtime.service import Runtime
from streams.runtime.settings import Kafka, Settings
from tests.unit.streams.fakes import fake_runtime

TOPIC = "hes.alarms"
SESSION_S = 7.0
"""How long the group takes to settle; nobody who was fenced comes back before."""
LEADS = Gauge("test_leads", "1 where this process leads")
FATAL = KafkaError(KafkaError._FATAL, "fenced by another instance")
"""As it comes in a message's place: `fatal()` is false."""
PASSING = KafkaError(KafkaError._TRANSPORT, "a broker went away")
Step = Callable[["World"], None]


@dataclass
class FakeError:
    found: KafkaError

    def error(self) -> KafkaError:
        return self.found


@dataclass
class FakeMember:
    """A member of the group: each poll is the next step of the test's, and stops the service after the last one."""

    world: World
    topics: list[str] = field(default_factory=list)
    calls: dict[str, Any] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    assigned: list[TopicPartition] = field(default_factory=list)
    paused: list[TopicPartition] = field(default_factory=list)
    told: list[list[TopicPartition]] = field(default_factory=list)
    refuses: bool = False
    says: KafkaError | None = None
    closed: bool = False

    def subscribe(self, topics: list[str], **calls: Any) -> None:
        self.topics, self.calls = topics, calls

    def poll(self, seconds: float) -> FakeError | None:
        self.waits.append(seconds)
        if self.world.steps:
            self.world.steps.pop(0)(self.world)
        else:
            self.world.runtime.stopping.set()
        says, self.says = self.says, None
        return None if says is None else FakeError(says)

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.assigned = partitions

    def pause(self, partitions: list[TopicPartition]) -> None:
        self.paused = partitions

    def commit(self, *, offsets: list[TopicPartition], asynchronous: bool) -> None:
        assert asynchronous
        if self.refuses:
            raise KafkaException(PASSING)
        self.told.append(offsets)

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeOffice:
    world: World
    turns: int = 0
    closed: int = 0

    def turn(self) -> int:
        assert not self.closed
        self.turns += 1
        if self.world.fails:
            raise self.world.fails.pop(0)
        return 0

    @property
    def positions(self) -> list[TopicPartition]:
        return [TopicPartition(TOPIC, 0, self.turns)] if self.turns else []

    def close(self) -> None:
        self.closed += 1
        self.world.gauge_at_close.append(gauge())


@dataclass
class FakeKnown:
    """What must be known first: caught up at the `after`th look."""

    world: World
    after: int = 1
    failed: FatalError | None = None
    looks: int = 0
    stopped: bool = False

    def start(self) -> None:
        assert not self.looks

    def wait(self, _seconds: float) -> bool:
        self.looks += 1
        assert not self.world.offices
        return self.looks >= self.after

    def check(self) -> None:
        if self.failed is not None:
            raise self.failed

    def stop(self) -> None:
        self.stopped = True


class World:
    """One worker. `steps` are what happens at each poll, `fails` what the office's next turns end with."""

    def __init__(self) -> None:
        made, _, self.clock = fake_runtime("oms")
        settings = Settings(kafka=Kafka(session_timeout_s=SESSION_S))
        self.runtime: Runtime = replace(made, settings=settings)
        self.member = FakeMember(self)
        self.known = FakeKnown(self)
        self.offices: list[FakeOffice] = []
        self.steps: list[Step] = []
        self.fails: list[Exception] = []
        self.opens: list[Exception] = []
        self.gauge_at_close: list[float] = []
        self.logged: list[str] = []

    def open(self) -> FakeOffice:
        if self.opens:
            raise self.opens.pop(0)
        self.offices.append(FakeOffice(self))
        return self.offices[-1]

    def run(self, *steps: Step) -> None:
        self.steps = list(steps)
        with structlog.testing.capture_logs() as lines:
            try:
                Leader(self.runtime, TOPIC, self.open, LEADS).run(self.known)
            finally:
                self.logged = [line["event"] for line in lines]

    @property
    def ready(self) -> bool:
        return self.runtime.health.answer("/health/ready")[0] == 200


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World()

    def consumer(_settings: object, group: str) -> FakeMember:
        assert group == "hes-oms"
        return made.member

    monkeypatch.setattr(leading, "new_consumer", consumer)
    LEADS.set(0)
    yield made
    assert made.known.stopped
    assert gauge() == 0
    assert not made.ready


def gauge() -> float:
    return float(LEADS._value.get())


def parts(*numbers: int) -> list[TopicPartition]:
    return [TopicPartition(TOPIC, number) for number in numbers]


def gets(*numbers: int) -> Step:
    def step(world: World) -> None:
        world.member.calls["on_assign"](world.member, parts(*numbers))
        assert world.ready

    return step


def loses(how: str = "on_revoke") -> Step:
    return lambda world: world.member.calls[how](world.member, parts(0))


def nothing(_world: World) -> None:
    """A turn, no more."""


def later(seconds: float) -> Step:
    return lambda world: world.clock.advance(seconds)


def says(error: KafkaError) -> Step:
    def step(world: World) -> None:
        world.member.says = error

    return step


def fails(error: Exception) -> Step:
    return lambda world: world.fails.append(error)


def test_nobody_is_a_member_before_all_is_known(world: World) -> None:
    world.known.after = 3
    world.run(gets(0))
    assert (world.known.looks, world.member.topics, len(world.offices)) == (3, [TOPIC], 1)
    assert world.logged[:2] == ["caught-up", "leads"]


def test_who_is_asked_to_stop_before_all_is_known_never_joins(world: World) -> None:
    world.known.after = 10**9
    world.runtime.stopping.set()
    world.run(gets(0))
    assert (world.member.topics, world.member.closed, world.offices) == ([], False, [])


@pytest.mark.parametrize(
    ("numbers", "leads"),
    [((0,), True), ((0, 1, 2), True), ((1, 2), False), ((), False)],
    ids=["the-only-one", "the-first-of-several", "others", "none"],
)
def test_who_has_the_first_partition_leads(world: World, numbers: tuple[int, ...], leads: bool) -> None:
    world.run(gets(*numbers), nothing)
    assert len(world.offices) == leads
    assert ("leads" in world.logged, "stands-by" in world.logged) == (leads, not leads)
    assert (world.member.assigned, world.member.paused) == (parts(*numbers), parts(*numbers))


def test_a_leader_works_at_every_look_and_waits_for_nothing(world: World) -> None:
    world.run(gets(0), nothing, nothing)
    (office,) = world.offices
    assert (office.turns, office.closed, world.member.closed) == (3, 1, True)
    assert world.member.waits == [0.1, 0, 0, 0]


def test_it_is_told_who_leads(world: World) -> None:
    seen: list[float] = []
    world.run(lambda _: seen.append(gauge()), gets(0), lambda _: seen.append(gauge()))
    assert (seen, world.gauge_at_close) == ([0, 1], [0])


@pytest.mark.parametrize("how", ["on_revoke", "on_lost"])
def test_who_loses_the_partition_closes_at_once(world: World, how: str) -> None:
    def closed(world: World) -> None:
        assert (world.offices[0].closed, gauge()) == (1, 0)

    world.run(gets(0), loses(how), closed, gets(0), nothing)
    assert [office.closed for office in world.offices] == [1, 1]
    assert [event for event in world.logged if event != "caught-up"] == ["leads", "gives-way", "leads"]


def test_the_partition_may_come_back_without_having_been_taken(world: World) -> None:
    """A rebalance in which another worker got it: nothing is written any more."""
    world.run(gets(0), gets(1), nothing)
    assert [(office.turns, office.closed) for office in world.offices] == [(0, 1)]


@pytest.mark.parametrize(
    ("error", "pause_s"),
    [
        pytest.param(FencedError("another has the books"), SESSION_S, id="fenced"),
        pytest.param(TemporaryError("Kafka is away"), 1.0, id="temporary"),
        pytest.param(RegistryError("the registry is away", retry=True), 1.0, id="registry"),
    ],
)
@pytest.mark.parametrize("opening", [False, True], ids=["in-a-turn", "at-its-opening"])
def test_what_may_pass_closes_the_office_and_another_is_opened_after_a_pause(
    world: World, error: Exception, pause_s: float, opening: bool
) -> None:
    before = metrics.RETRIES.labels(type(error).__name__)._value.get()
    offices: list[int] = []

    def count(world: World) -> None:
        offices.append(len(world.offices))

    if opening:
        world.opens = [error]
        world.run(gets(0), nothing, later(pause_s - 0.1), count, later(0.2), count)
        assert offices == [0, 1]
    else:
        world.run(gets(0), fails(error), nothing, later(pause_s - 0.1), count, later(0.2), count)
        assert offices == [1, 2]
    assert [office.closed for office in world.offices] == [1] * len(world.offices)
    assert world.logged.count("books-closed") == 1
    assert metrics.RETRIES.labels(type(error).__name__)._value.get() == before + 1
    assert world.member.waits[-1] == 0


def test_whoever_waits_for_the_books_waits_at_the_group(world: World) -> None:
    world.opens = [TemporaryError("away")]
    world.run(gets(0), nothing, nothing)
    assert set(world.member.waits) == {0.1}


def test_what_does_not_pass_ends_the_process_with_the_office_closed(world: World) -> None:
    with pytest.raises(FatalError, match="no topic"):
        world.run(gets(0), fails(FatalError("there is no topic")), nothing)
    assert (world.offices[0].closed, world.member.closed) == (1, True)


def test_who_is_no_member_any_more_does_not_go_on(world: World) -> None:
    with pytest.raises(FatalError, match="no member of the group any more: fenced"):
        world.run(gets(0), says(FATAL))
    assert (world.offices[0].closed, world.member.closed) == (1, True)


def test_an_error_that_passes_is_the_clients_to_mend(world: World) -> None:
    world.run(gets(0), says(PASSING), nothing)
    assert [(office.turns, office.closed) for office in world.offices] == [(3, 1)]


def test_what_is_followed_no_more_ends_the_process(world: World) -> None:
    def breaks(world: World) -> None:
        world.known.failed = FatalError("hes.meters is followed no more")

    with pytest.raises(FatalError, match="followed no more"):
        world.run(gets(0), breaks, nothing)
    assert (world.offices[0].closed, world.member.closed) == (1, True)


def test_lag_is_told_every_second_and_at_the_end(world: World) -> None:
    world.run(gets(0), nothing, nothing, later(1.0), nothing, nothing)
    assert [[part.offset for part in told] for told in world.member.told] == [[3], [6]]


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param((gets(1), later(5), nothing), id="who-stands-by"),
        pytest.param((gets(0), loses(), later(5), nothing), id="who-gave-way"),
    ],
)
def test_nothing_is_told_by(world: World, steps: tuple[Step, ...]) -> None:
    world.run(*steps)
    assert world.member.told == []


def test_lag_that_cannot_be_told_stops_nothing(world: World) -> None:
    world.member.refuses = True
    world.run(gets(0), nothing, later(1.0), nothing)
    assert [(office.turns, office.closed) for office in world.offices] == [(4, 1)]
    assert "lag-not-told" in world.logged
