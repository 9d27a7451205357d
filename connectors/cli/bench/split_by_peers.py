"""The split of `hes bench split` by quixstreams and by arroyo: from one topic to another, by the schema id, octets passed
through, offsets committed only when the target has what came before. Stands alone, since their requirements and ours cannot
be met at once; `split_peers` runs it in an environment of its own:

    python split_by_peers.py quixstreams HOST:PORT SOURCE TARGET RECORDS SCHEMA_ID

prints one JSON line: records, seconds from the first to the last, CPU seconds of the process.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any


class Gauge:
    """Counts from the first record on."""

    def __init__(self, records: int, schema_id: int) -> None:
        self.wanted = records
        self.seen = 0
        self._prefix = b"\0" + schema_id.to_bytes(4, "big")
        self._began = self._cpu = 0.0

    def take(self, value: bytes) -> bool:
        """Whether a value goes to the target."""
        if not self.seen:
            self._began, self._cpu = time.perf_counter(), time.process_time()
        self.seen += 1
        return value[:5] == self._prefix

    @property
    def whole(self) -> bool:
        """Whether all have been seen."""
        return self.seen >= self.wanted

    def figures(self, package: str) -> dict[str, object]:
        """What it took."""
        seconds, cpu = time.perf_counter() - self._began, time.process_time() - self._cpu
        return {"peer": f"{package} {version(package)}", "records": self.seen, "seconds": seconds, "cpu_s": cpu}


def by_quixstreams(bootstrap: str, source: str, target: str, gauge: Gauge) -> dict[str, object]:
    """Its StreamingDataFrame, values and keys as octets."""
    quix = import_module("quixstreams")
    app = quix.Application(
        broker_address=bootstrap,
        consumer_group=f"peer-quix-{time.time_ns()}",
        auto_offset_reset="earliest",
        auto_create_topics=False,
        loglevel="ERROR",
        producer_extra_config={"compression.type": "lz4", "enable.idempotence": True, "linger.ms": 5},
    )
    octets: dict[str, str] = dict.fromkeys(
        ("key_serializer", "key_deserializer", "value_serializer", "value_deserializer"), "bytes"
    )
    frame = app.dataframe(app.topic(source, **octets))
    frame = frame.filter(gauge.take).to_topic(app.topic(target, **octets))

    def stop(_value: bytes) -> None:
        if gauge.whole:
            app.stop()

    frame.update(stop)
    app.run()
    return gauge.figures("quixstreams")


def by_arroyo(bootstrap: str, source: str, target: str, gauge: Gauge) -> dict[str, object]:
    """Its StreamProcessor with a Produce strategy and CommitOffsets behind it."""
    kafka = import_module("arroyo.backends.kafka")
    types, processing = import_module("arroyo.types"), import_module("arroyo.processing.processor")
    strategies = import_module("arroyo.processing.strategies")
    topic = types.Topic(target)
    consumer = kafka.KafkaConsumer(
        kafka.build_kafka_consumer_configuration(
            {},
            bootstrap_servers=bootstrap.split(","),
            group_id=f"peer-arroyo-{time.time_ns()}",
            auto_offset_reset="earliest",
        )
    )
    producer = kafka.KafkaProducer(
        kafka.build_kafka_configuration(
            {"compression.type": "lz4", "enable.idempotence": True, "linger.ms": 5}, bootstrap_servers=bootstrap.split(",")
        )
    )

    class Split:
        """Arroyo's factory of strategies."""

        def create_with_partitions(self, commit: Any, _partitions: Mapping[Any, int]) -> Any:
            """The steps."""
            produce = strategies.Produce(producer, topic, strategies.CommitOffsets(commit), 200_000)
            return strategies.FilterStep(lambda message: gauge.take(message.payload.value), produce)

        def shutdown(self) -> None:
            """Nothing is held."""

    processor = processing.StreamProcessor(consumer, types.Topic(source), Split())
    while not gauge.whole:
        processor._run_once()  # noqa: SLF001 - `run` has no end that can be asked for from within
    processor._shutdown()  # noqa: SLF001 - as above
    producer.close().result()
    return gauge.figures("sentry-arroyo")


PEERS = {"quixstreams": by_quixstreams, "arroyo": by_arroyo}


def main(argv: Sequence[str]) -> int:
    """The command."""
    peer, bootstrap, source, target, records, schema_id = argv
    figures = PEERS[peer](bootstrap, source, target, Gauge(int(records), int(schema_id)))
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
