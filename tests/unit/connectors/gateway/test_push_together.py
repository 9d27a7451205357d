"""Pushes that came in together are written together, and acknowledged only once Kafka has all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.gateway.conversation import octets_pushes
from schemas.codec import CodecError
from schemas.records import RegisterReadings
from streams.runtime.errors import DeliveryError
from tests.unit.connectors.gateway.builders import ENDPOINT, NOW, meter, pipeline, reading, wrapped
from tests.unit.connectors.gateway.test_deliveries import turn
from tests.unit.connectors.gateway.test_push_listener import Bench, confirm, confirmed

MANY = range(1, 101)


def values(bench: Bench) -> list[Any]:
    records = bench.publisher.records("hes.events.bulk")
    return [item.registers[-1].value for item in records if isinstance(item, RegisterReadings)]


async def test_all_are_written_and_acknowledged_in_order() -> None:
    bench = Bench(limit=1000)
    connection, transport = bench.connect()
    connection.data_received(b"".join(map(confirmed, MANY)))
    assert values(bench) == list(MANY)
    assert bench.deliveries.groups == len(MANY)
    await turn()
    assert transport.written == []
    bench.publisher.deliver(len(bench.publisher.waiting))
    await turn()
    assert b"".join(transport.written) == b"".join(map(confirm, MANY))
    assert bench.deliveries.groups == 0


async def test_none_is_acknowledged_before_kafka_has_the_last() -> None:
    bench = Bench(limit=1000)
    connection, transport = bench.connect()
    connection.data_received(confirmed(1) + confirmed(2))
    bench.publisher.deliver(3)
    await turn()
    assert transport.written == []
    bench.publisher.deliver(1, DeliveryError("Kafka is away"))
    await turn()
    assert transport.written == []
    assert transport.state == "aborted"


async def test_one_that_is_refused_has_all_go_by_themselves() -> None:
    bench = Bench(limit=1000)
    connection, transport = bench.connect()
    connection.data_received(confirmed(1) + wrapped(reading(serial="somebody else")) + confirmed(2))
    assert values(bench) == [1, 2]
    assert bench.letters() == ["meter-unknown"]
    assert bench.deliveries.groups == 3
    assert transport.written == []


async def test_what_cannot_be_encoded_is_a_dead_letter_and_no_other_push_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(limit=1000)
    codec = bench.listener.emitter._codec
    whole = codec.encode_all

    def encode_all(records: Any) -> list[bytes]:
        if any(isinstance(item, RegisterReadings) and item.registers[-1].value == 2 for item in records):
            raise CodecError("avro-value", "it does not fit")
        return whole(records)

    monkeypatch.setattr(codec, "encode_all", encode_all)
    connection, _ = bench.connect()
    connection.data_received(b"".join(map(confirmed, (1, 2, 3))))
    assert values(bench) == [1, 3]
    assert bench.letters() == ["avro-value"]


def test_a_push_of_a_meter_is_the_same_push_otherwise() -> None:
    known = meter()
    (push,) = octets_pushes(pipeline(known), wrapped(reading()), ENDPOINT, NOW, "r1")
    bare = replace(push, meter_id="", frames=replace(push.frames, meter_id=""), events=(), waits=True, reply=b"x")
    named = replace(bare, meter_id=known.id, frames=replace(bare.frames, meter_id=known.id), authenticated=True)
    assert bare.of(known, authenticated=True) == named
    assert named.stating(push.events) == replace(named, events=push.events)
