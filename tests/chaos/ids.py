"""Ids that a run left on the topics, and those that its frames come to when they are decoded once more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from connectors.cli.commands.meters import registry
from connectors.cli.demo.stage import Stage
from connectors.cli.topics import decoded, read_topic
from connectors.gateway.conversation import Conversation
from connectors.gateway.directory import Change, Directory
from connectors.gateway.keystore import open_key_store
from connectors.gateway.pipeline import Pipeline
from connectors.templates.loader import load_templates
from schemas.records import Alarm, IntervalReadings, Record, RegisterReadings, SessionFrames, SessionKind

LANES = ("hes.events.bulk", "hes.events.urgent")
BEHIND = ("hes.readings.intervals", "hes.readings.registers", "hes.alarms")


@dataclass(frozen=True)
class Ids:
    """What stands on the topics after a run."""

    events: set[str]  # on the lanes
    routed: set[str]  # behind split
    reads: set[str]  # of load profiles
    reread: set[str]  # that the frames on hes.frames come to, decoded by a gateway that nobody killed
    pushed: set[str]  # of pushed events on the lanes


def ids_of(stage: Stage) -> Ids:
    """The ids of a run that has ended."""
    given = stage.settings

    def records(topics: tuple[str, ...]) -> Iterator[Record]:
        for topic in topics:
            for _, record in decoded(given, read_topic(given, topic)):
                assert not isinstance(record, Exception)
                yield record

    lanes = [r for r in records(LANES) if isinstance(r, IntervalReadings | RegisterReadings | Alarm)]
    behind = [r for r in records(BEHIND) if isinstance(r, IntervalReadings | RegisterReadings | Alarm)]
    frames = [r for r in records(("hes.frames",)) if isinstance(r, SessionFrames) and r.kind is SessionKind.PUSH]
    return Ids(
        events={r.id for r in lanes},
        routed={r.id for r in behind},
        reads={r.id for r in behind if isinstance(r, IntervalReadings)},
        reread=_reread(stage, frames),
        pushed={r.id for r in lanes if isinstance(r, Alarm) or getattr(r, "cause", "") == "PUSH"},
    )


def _reread(stage: Stage, frames: list[SessionFrames]) -> set[str]:
    given = stage.settings
    directory = Directory()
    directory.apply([Change(meter_id, meter) for meter_id, meter in registry(given).items()])
    pipeline = Pipeline(directory, open_key_store(given.gateway), load_templates())
    ids: set[str] = set()
    for session in frames:
        conversation = Conversation(pipeline, session.endpoint, "reread")
        data = b"".join(frame.data for frame in session.frames)
        for push in conversation.feed(data, session.started_at) + conversation.close(session.started_at):
            ids |= {event.id for event in push.events}
    return ids
