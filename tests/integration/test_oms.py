"""Outages on a real Kafka: grouped across partitions, and told once whatever ends the process in the middle of a storm."""

from __future__ import annotations

import random
import signal
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from connectors.cli.topics import read_topic
from schemas.records import Alarm, AlarmKind, Meter, MeterState, OutageEvent, OutageKind, OutageScope, OutageStatus
from streams.runtime.settings import Kafka, Registry, Settings
from streams.runtime.tracing import REPLAY, REPLAY_TO, Headers
from tests.integration.gateway_bench import Cluster, Tap, open_cluster
from tests.integration.service_processes import ServiceProcess, stopped_at_the_end

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
OUTAGES = "oms.outages"
TRANSFORMERS, EACH = 60, 10


class OmsProcess(ServiceProcess):
    room, name, ready = "connectors", "oms", "books-opened"


class StandbyProcess(OmsProcess):
    ready = "caught-up"


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture
def run(cluster: Cluster) -> str:
    """A town of sixty transformers on three feeders, ten meters each; the end of all names."""
    name = uuid.uuid4().hex[:6]
    cluster.put_meters(
        Meter(
            id=f"o{transformer}-{number}-{name}",
            transformer=f"T{transformer}-{name}",
            feeder=f"F{transformer // 20}-{name}",
            state=MeterState.NORMAL,
        )
        for transformer in range(TRANSFORMERS)
        for number in range(EACH)
    )
    return name


@pytest.fixture
def tap(cluster: Cluster) -> Iterator[Tap]:
    found = Tap(cluster, OUTAGES)
    yield found
    found.close()


def alarm(meter_id: str, kind: AlarmKind = AlarmKind.OUTAGE, at: int = 0) -> Alarm:
    at = at or time.time_ns() // 1_000_000
    return Alarm(
        id=f"{meter_id}/{kind}",
        meter_id=meter_id,
        kind=kind,
        occurred_at=at,
        meter_time_given=True,
        received_at=at,
    )


def send(cluster: Cluster, alarms: list[Alarm], headers: Headers | None = None) -> None:
    for one in alarms:
        cluster.publisher.send("hes.alarms", one.meter_id, cluster.codec.encode(one), headers)
    cluster.publisher.flush()


def mine(tap: Tap, run: str) -> list[OutageEvent]:
    return [event for event in tap.of(OutageEvent) if (event.transformer or event.feeder).endswith(run)]


def told(tap: Tap, run: str) -> Counter[str]:
    """How often each alarm is named."""
    return Counter(name for event in mine(tap, run) for name in event.alarms)


def latest(events: list[OutageEvent]) -> dict[str, OutageEvent]:
    """Each outage as it stands; its revisions are there without gap, and each once."""
    found: dict[str, list[OutageEvent]] = defaultdict(list)
    for event in events:
        found[event.outage_id].append(event)
    for revisions in found.values():
        assert [event.revision for event in sorted(revisions, key=lambda e: e.revision)] == [*range(1, len(revisions) + 1)]
    return {name: max(revisions, key=lambda event: event.revision) for name, revisions in found.items()}


def storm(run: str) -> list[Alarm]:
    """Seven of ten last gasps of every transformer come through, within three seconds."""
    now = time.time_ns() // 1_000_000
    dice = random.Random(run)  # noqa: S311 - a bench has to repeat itself from its seed, and nothing secret hangs on it
    alarms = [
        alarm(f"o{transformer}-{number}-{run}", at=now + dice.randrange(3_000))
        for transformer in range(TRANSFORMERS)
        for number in dice.sample(range(EACH), 7)
    ]
    return sorted(alarms, key=lambda one: one.received_at)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
def test_a_storm_in_which_the_service_is_ended_again_and_again(
    cluster: Cluster, run: str, tap: Tap, tmp_path: Path, end: signal.Signals
) -> None:
    alarms = storm(run)
    suffix = f"-{run}"
    oms = OmsProcess(cluster, tmp_path, {}, suffix)
    with stopped_at_the_end(oms):
        sending = threading.Thread(target=_paced, args=(cluster, alarms))
        sending.start()
        for share in (0.1, 0.4, 0.7):
            tap.until(partial(_at_least, tap, run, share * len(alarms)), "some outages")
            oms.signal(end)
            assert oms.process is not None
            oms.process.wait(60)
            oms.start()
        sending.join()
        tap.until(lambda: len(told(tap, run)) >= len(alarms), "all alarms")
        back = [alarm(f"o{t}-{n}-{run}", AlarmKind.RESTORATION) for t in range(TRANSFORMERS) for n in range(EACH)]
        send(cluster, back)
        tap.until(lambda: len(told(tap, run)) >= len(alarms) + len(back), "all restorations")
        tap.until(lambda: all(_over(event) for event in latest(mine(tap, run)).values()), "the end of all outages")
    assert set(told(tap, run).values()) == {1}
    outages = latest(mine(tap, run)).values()
    assert Counter(event.scope for event in outages) == {OutageScope.TRANSFORMER: TRANSFORMERS, OutageScope.FEEDER: 3}
    below = [event for event in outages if event.scope is OutageScope.TRANSFORMER]
    assert {event.transformer for event in below} == {f"T{number}-{run}" for number in range(TRANSFORMERS)}
    assert {(event.premises_affected, event.premises_out, event.premises_known) for event in below} == {(EACH, 0, EACH)}
    for event in outages:
        if event.scope is OutageScope.FEEDER:
            assert (len(event.transformers), len(event.outages), event.status) == (20, 20, OutageStatus.RESTORED)
    assert oms.log


def _at_least(tap: Tap, run: str, count: float) -> bool:
    return len(told(tap, run)) >= count


def _paced(cluster: Cluster, alarms: list[Alarm]) -> None:
    """Each when it arrives, or as soon after as can be."""
    for one in alarms:
        time.sleep(max(0.0, one.received_at / 1_000 - time.time()))
        cluster.publisher.send("hes.alarms", one.meter_id, cluster.codec.encode(one))
    cluster.publisher.flush()


def _over(event: OutageEvent) -> bool:
    return event.status in (OutageStatus.RESTORED, OutageStatus.WITHDRAWN, OutageStatus.MERGED)


def test_a_paused_leader_is_replaced_and_writes_nothing_more(cluster: Cluster, run: str, tap: Tap, tmp_path: Path) -> None:
    suffix = f"-{run}"
    first, second = OmsProcess(cluster, tmp_path, {}, suffix), StandbyProcess(cluster, tmp_path, {}, suffix)
    with stopped_at_the_end(first, second):
        send(cluster, [alarm(f"o1-1-{run}")])
        tap.until(lambda: len(told(tap, run)) == 1, "the first outage")
        leader, other = (first, second) if any(e["event"] == "leads" for e in first.log) else (second, first)
        leader.signal(signal.SIGSTOP)  # for longer than the session timeout
        send(cluster, [alarm(f"o1-{number}-{run}") for number in range(2, 6)])
        tap.until(lambda: len(told(tap, run)) == 5, "what the other one tells")
        leader.signal(signal.SIGCONT)
        send(cluster, [alarm(f"o1-{number}-{run}", AlarmKind.RESTORATION) for number in range(1, 6)])
        tap.until(lambda: len(told(tap, run)) == 10, "the restorations")
        assert other.process is not None
    (event,) = latest(mine(tap, run)).values()
    assert (event.status, event.premises_affected) == (OutageStatus.RESTORED, 5)
    assert set(told(tap, run).values()) == {1}


def test_replays_and_junk_change_nothing(cluster: Cluster, run: str, tap: Tap, tmp_path: Path) -> None:
    letters = Tap(cluster, "hes.dead-letters")
    gone = alarm(f"o2-1-{run}")
    with stopped_at_the_end(OmsProcess(cluster, tmp_path, {}, f"-{run}")):
        cluster.put("hes.alarms", f"o2-1-{run}", b"junk")
        send(cluster, [gone], [(REPLAY, b"some replay")])
        send(cluster, [alarm(f"o2-2-{run}")])
        tap.until(lambda: len(told(tap, run)) == 1, "the outage that is none of a replay")
        send(cluster, [gone], [(REPLAY, b"some replay"), (REPLAY_TO, b"oms")])
        tap.until(lambda: len(told(tap, run)) == 2, "the replay that is to reach the OMS")
        send(cluster, [gone], [(REPLAY, b"another"), (REPLAY_TO, b"fraud,oms")])
        tap.until(lambda: mine(tap, run)[-1].reason == "replay", "the outage once more")
        letters.until(lambda: "avro-framing" in letters.letters(), "the dead letter")
    letters.close()
    assert mine(tap, run)[-1].kind is OutageKind.OUTAGE
    assert set(told(tap, run).values()) == {1}
    given = Settings(kafka=Kafka(bootstrap=cluster.kafka), registry=Registry(url=cluster.registry))
    assert [message.key() for message in read_topic(given, "hes.outage-states")]
