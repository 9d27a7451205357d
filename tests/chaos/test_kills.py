"""kill -9 of the gateway, split and the sink while meters push and are read: the same ids as without, compared as sets."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from connectors.cli import context
from connectors.cli.commands.meters import registry
from connectors.cli.demo.play import play
from connectors.cli.demo.reconcile import Summary
from connectors.cli.demo.stage import Scale, Stage
from connectors.cli.topics import decoded, read_topic
from connectors.gateway.conversation import Conversation
from connectors.gateway.directory import Change, Directory
from connectors.gateway.keystore import open_key_store
from connectors.gateway.pipeline import Pipeline
from connectors.local.home import Home
from connectors.templates.loader import load_templates
from schemas.records import Alarm, IntervalReadings, Record, RegisterReadings, SessionFrames, SessionKind

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(300), pytest.mark.usefixtures("jvm")]

# Meters that get no confirmation cannot know that a push was lost; that is their nature, not the head-end's.
CONFIRMED_ONLY = ("--unconfirmed-share", "0", "--noise-share", "0", "--push-every", "6", "--outage-every", "3")
METERS = 40
LANES = ("hes.events.bulk", "hes.events.urgent")
BEHIND = ("hes.readings.intervals", "hes.readings.registers", "hes.alarms")


@dataclass(frozen=True)
class Ran:
    """What a run left."""

    summary: Summary
    events: set[str]  # ids on the lanes
    routed: set[str]  # ids behind split
    reads: set[str]  # ids of load profiles
    reread: set[str]  # ids that the frames on hes.frames come to, decoded by a gateway that nobody killed
    pushed: set[str]  # ids of pushed events on the lanes
    killed: list[str]


def run(home: Path, span_s: float, kills: list[tuple[float, str]]) -> Ran:
    done: list[str] = []
    with Stage(Scale(METERS, 11, CONFIRMED_ONLY), lambda _: None, home=Home.of(home)) as stage:
        summary = play(stage, span_s, between=_killer(stage, kills, done))
        given = stage.settings

        def records(topics: tuple[str, ...]) -> Iterator[Record]:
            for topic in topics:
                for _, record in decoded(given, read_topic(given, topic)):
                    assert not isinstance(record, Exception)
                    yield record

        lanes = [r for r in records(LANES) if isinstance(r, IntervalReadings | RegisterReadings | Alarm)]
        behind = [r for r in records(BEHIND) if isinstance(r, IntervalReadings | RegisterReadings | Alarm)]
        frames = [r for r in records(("hes.frames",)) if isinstance(r, SessionFrames) and r.kind is SessionKind.PUSH]
        return Ran(
            summary=summary,
            events={r.id for r in lanes},
            routed={r.id for r in behind},
            reads={r.id for r in behind if isinstance(r, IntervalReadings)},
            reread=_reread(stage, frames),
            pushed={r.id for r in lanes if isinstance(r, Alarm) or getattr(r, "cause", "") == "PUSH"},
            killed=done,
        )


def _killer(stage: Stage, kills: list[tuple[float, str]], done: list[str]) -> Callable[[float], None]:
    left = sorted(kills)

    def between(passed: float) -> None:
        while left and left[0][0] <= passed:
            _, name = left.pop(0)
            child = stage.services[name]
            assert child.running is not None
            os.kill(child.running.pid, signal.SIGKILL)
            done.append(name)
            child.start()

    return between


def _reread(stage: Stage, frames: list[SessionFrames]) -> set[str]:
    given = stage.settings
    codec = context.codec(given)
    directory = Directory(codec)
    directory.apply([Change(meter_id, codec.encode(meter), meter) for meter_id, meter in registry(given).items()])
    pipeline = Pipeline(directory, open_key_store(given.gateway), load_templates())
    ids: set[str] = set()
    for session in frames:
        conversation = Conversation(pipeline, session.endpoint, "reread")
        data = b"".join(frame.data for frame in session.frames)
        for push in conversation.feed(data, session.started_at) + conversation.close(session.started_at):
            ids |= {event.id for event in push.events}
    return ids


def test_killed_again_and_again_the_same_ids_arrive(tmp_path_factory: pytest.TempPathFactory) -> None:
    calm = run(tmp_path_factory.mktemp("calm"), 8, [])
    kills = [
        (0.0, "gateway"),
        (2, "split"),
        (4, "clickhouse"),
        (6, "gateway"),
        (8, "split"),
        (10, "clickhouse"),
        (12, "gateway"),
    ]
    wild = run(tmp_path_factory.mktemp("wild"), 16, kills)

    assert wild.killed == [name for _, name in kills]
    for ran in (calm, wild):
        assert ran.summary.reconciled, ran.summary
        assert ran.events == ran.routed
        assert ran.pushed == ran.reread
        assert ran.summary.intervals_asked == METERS * 96 * 2
    # The load profiles of a seed and day are the same in both runs, and so are their ids.
    assert calm.reads == wild.reads
    assert len(wild.reads) == METERS
