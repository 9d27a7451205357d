"""Following a topic whose broker goes away: librdkafka's own mock broker, which ends with the client that it belongs to."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import Producer

from connectors.cli.topics import Span, read_topic
from streams.runtime.settings import Kafka, Settings

PATIENCE_S = 60.0


def test_who_follows_is_told_once_that_kafka_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    broker = Producer({"bootstrap.servers": "replaced", "test.mock.num.brokers": 1, "log_level": 0})
    (known,) = broker.list_topics(timeout=PATIENCE_S).brokers.values()
    broker.produce("followed", b"one")
    assert broker.flush(PATIENCE_S) == 0
    said = ""
    until = time.monotonic() + PATIENCE_S

    def ended() -> bool:
        nonlocal said
        before, said = said, said + capsys.readouterr().err
        return bool(before) or time.monotonic() > until

    settings = Settings(kafka=Kafka(bootstrap=f"127.0.0.1:{known.port}"))
    found = read_topic(settings, "followed", Span(follow=True, ended=ended))
    assert next(found).value() == b"one"
    assert said == ""
    del broker
    assert list(found) == []
    assert " ".join(said.split()).count(f"Kafka at 127.0.0.1:{known.port} does not answer") == 1
