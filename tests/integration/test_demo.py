"""The whole system: `hes demo` reconciles, and consumers that know nothing of us read every topic."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from connectors.cli.demo.gather import gather
from connectors.cli.demo.play import play
from connectors.cli.demo.reconcile import Found
from connectors.cli.demo.stage import Scale, Stage
from connectors.cli.demo.watch import Watch
from connectors.cli.replaying import Replay, Wanted
from connectors.cli.topics import decoded, read_topic
from connectors.local.home import Home
from schemas.records import AlarmKind, OutageEvent, Protocol, SessionFrames, SessionKind
from streams.runtime.settings import Settings
from streams.runtime.tracing import header

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("jvm"), pytest.mark.timeout(400)]

WRITTEN = {
    "hes.meters": {"Meter"},
    "hes.jobs.urgent": {"Job"},
    "hes.jobs.bulk": {"Job"},
    "hes.frames": {"SessionFrames"},
    "hes.events.urgent": {"Alarm", "JobResult"},
    "hes.events.bulk": {"IntervalReadings", "RegisterReadings"},
    "hes.readings.intervals": {"IntervalReadings"},
    "hes.readings.registers": {"RegisterReadings"},
    "hes.alarms": {"Alarm"},
    "hes.command-acks": {"CommandAck"},
    "oms.outages": {"OutageEvent"},
    "fraud.tampers": {"TamperEvent"},
    "hes.dead-letters": {"DeadLetter"},
}
BUSY = ("--push-every", "5", "--outage-every", "3", "--tamper-every", "3", "--noise-share", "0.15")


def test_everything_is_accounted_for_and_a_plain_consumer_reads_every_topic(tmp_path: Path) -> None:
    with Stage(Scale(40, 3, BUSY, c12_share=0.4), lambda _: None, home=Home.of(tmp_path)) as stage:
        summary = play(stage, 12)
        assert summary.reconciled, summary
        for name in ("intervals_asked", "pushes_sent", "events", "dead_letters", "outages_sent"):
            assert getattr(summary, name) > 0, (name, summary)
        pushes = [row for row in map(json.loads, stage.truth.read_text().splitlines()) if row["t"] == "push"]
        assert {row["what"] for row in pushes if row["transport"] == "c12.22"} >= {"registration", "outage"}
        for topic, records in WRITTEN.items():
            assert _plainly_read(stage, topic) == records, topic
        _replayed_nothing_changes(stage, tmp_path)


def _replayed_nothing_changes(stage: Stage, folder: Path) -> None:
    """All that meters pushed once more, and the alarms alone: the same ids, the same rows, nothing new for the OMS."""
    given = stage.settings
    wanted = Wanted("", None, None, 0, 0, ())
    window = (0, 4_000_000_000_000)
    before = gather(given, window)
    again = Replay(given, folder, wanted).topic("hes.frames", restart=False)
    # The gateway's own alarms, about telegrams that do not authenticate, are not raised again (rule 12).
    pushed = [alarm for alarm in before.alarms if alarm.kind is not AlarmKind.SECURITY]
    assert again["events"] >= len(before.registers) + len(pushed) > 0
    said = Replay(given, folder, wanted).files([_notifications(stage, folder)])
    assert said["events"] > 0
    assert set(said["dead_letters"]) <= {"c1222-authentication"}  # of noise in a meter's name
    alarms = Replay(given, folder, wanted).topic("hes.alarms", restart=False)
    assert alarms["replayed"] >= len(before.alarms)
    watch = Watch(stage, time.monotonic)
    still = 0
    until = time.monotonic() + 60
    while still < 3:
        assert time.monotonic() < until, "the replay does not come to an end"
        still = still + 1 if watch.drained() else 0
        time.sleep(0.3)
    after = gather(given, window)
    assert (after.event_ids, after.routed_ids, after.stored_ids) == (before.event_ids, before.routed_ids, before.stored_ids)
    assert after.intervals == before.intervals
    assert {letter.id for letter in after.dead_letters} == {letter.id for letter in before.dead_letters}
    # By time alone an outage may be told anew, such as one that has become a sustained one; none for a replay.
    assert _named(after) == _named(before)
    assert not _told_again(given)
    reached = Replay(given, folder, Wanted("", None, None, 0, 0, ("oms",))).topic("hes.alarms", restart=False)
    assert reached["replay_id"] != alarms["replay_id"]
    while not _told_again(given):
        assert time.monotonic() < until + 30, "the OMS was to be reached, and is not"
        time.sleep(0.3)
    assert _named(gather(given, window)) == _named(before)


def _named(found: Found) -> dict[str, str]:
    """Each alarm that an outage names, and which; of an outage that was told again, none."""
    return {alarm: event.outage_id for event in found.outages for alarm in event.alarms}


def _told_again(given: Settings) -> bool:
    records = (record for _, record in decoded(given, read_topic(given, "oms.outages")))
    return any(isinstance(record, OutageEvent) and record.reason == "replay" for record in records)


def _notifications(stage: Stage, folder: Path) -> str:
    """A file of what C12.22 meters of the demo notified, in hex."""
    records = (record for _, record in decoded(stage.settings, read_topic(stage.settings, "hes.frames")))
    pushed = [
        r for r in records if isinstance(r, SessionFrames) and (r.protocol, r.kind) == (Protocol.C1222, SessionKind.PUSH)
    ]
    known = [frame.data.hex() for record in pushed if record.meter_id for frame in record.frames]
    path = folder / "notifications.hex"
    path.write_text("\n".join(known[:20]))
    return str(path)


def _plainly_read(stage: Stage, topic: str) -> set[str]:
    """The names of the records on a topic, by Confluent's own deserializer and the registry alone."""
    kinds = set()
    consumer = Consumer(
        {
            "bootstrap.servers": stage.settings.kafka.bootstrap,
            "group.id": f"mdm-{topic}",
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
        }
    )
    ended: set[int | None] = set()
    consumer.subscribe([topic])
    with SchemaRegistryClient({"url": stage.settings.registry.url}) as registry:
        read = AvroDeserializer(registry, return_record_name=True)
        try:
            until = time.monotonic() + 60
            while len(ended) < 12:
                assert time.monotonic() < until, f"{topic} has no end"
                message = consumer.poll(1.0)
                if message is None:
                    continue
                if (error := message.error()) is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ended.add(message.partition())
                    continue
                value = read(message.value(), SerializationContext(topic, MessageField.VALUE))
                assert isinstance(value, dict)
                assert value.get("id", "") == header(message.headers(), "ce_id")
                kinds.add(header(message.headers(), "ce_type"))
        finally:
            consumer.close()
    return {kind.removeprefix("hes.") for kind in kinds}


def test_ctrl_c_ends_the_demo_with_its_summary_and_leaves_nothing(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "connectors.cli.main", "demo", "--meters", "10", "--format", "json"],
        env=os.environ | {"HES_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert demo.stderr is not None
    spoken = []
    for line in demo.stderr:
        spoken.append(line)
        if " reads, " in line:
            break
    os.killpg(demo.pid, signal.SIGINT)
    out, err = demo.communicate(timeout=200)
    assert demo.returncode == 0, "".join(spoken) + err
    (summary,) = map(json.loads, out.splitlines())
    assert summary["reconciled"], summary
    assert summary["meters"] == 10
    assert "Traceback" not in err
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line for line in left if str(tmp_path) in line] == []
