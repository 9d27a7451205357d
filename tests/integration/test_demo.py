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

from connectors.cli.demo.play import play
from connectors.cli.demo.stage import Scale, Stage
from connectors.local.home import Home
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
    with Stage(Scale(40, 3, BUSY), lambda _: None, home=Home.of(tmp_path)) as stage:
        summary = play(stage, 12)
        assert summary.reconciled, summary
        for name in ("intervals_asked", "pushes_sent", "events", "dead_letters", "outages_sent"):
            assert getattr(summary, name) > 0, (name, summary)
        for topic, records in WRITTEN.items():
            assert _plainly_read(stage, topic) == records, topic


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
