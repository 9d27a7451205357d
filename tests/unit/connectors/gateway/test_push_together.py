"""Pushes that came in together are written together, and acknowledged only once Kafka has all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from connectors.gateway import push_gathering
from connectors.gateway.conversation import octets_pushes
from schemas.codec import CodecError
from schemas.records import RegisterReadings
from streams.runtime.clock import iso
from streams.runtime.errors import DeliveryError
from streams.runtime.kafka import Publisher
from tests.unit.connectors.gateway.builders import (
    ENDPOINT,
    NOW,
    SERIAL,
    long,
    meter,
    named,
    notification,
    pipeline,
    reading,
    text,
    wrapped,
)
from tests.unit.connectors.gateway.test_deliveries import HeldPublisher, turn
from tests.unit.connectors.gateway.test_push_listener import Bench, confirm, confirmed

MANY = range(1, 101)
SERIAL_OBIS, ALARM = "0.0.96.1.0.255", "0.0.97.98.0.255"


def values(bench: Bench) -> list[Any]:
    records = bench.publisher.records("hes.events.bulk")
    return [item.registers[-1].value for item in records if isinstance(item, RegisterReadings)]


def refuse_the_value(value: int, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = bench.listener.emitter._codec
    whole = codec.encode_all

    def encode_all(records: Any) -> list[bytes]:
        if any(isinstance(item, RegisterReadings) and item.registers[-1].value == value for item in records):
            raise CodecError("avro-value", "it does not fit")
        return whole(records)

    monkeypatch.setattr(codec, "encode_all", encode_all)


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
    refuse_the_value(2, bench, monkeypatch)
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


async def pressed(bench: Bench) -> None:
    """So many pushes wait for Kafka that others are gathered."""
    connection, _ = bench.connect()
    connection.data_received(b"".join(map(confirmed, range(1_001, 1_101))))
    assert bench.listener.gathering.busy


async def test_while_many_wait_pushes_of_all_connections_are_gathered_and_acknowledged_each_on_its_own() -> None:
    bench = Bench(limit=1000)
    await pressed(bench)
    (one, first), (other, second) = bench.connect(), bench.connect()
    written = len(values(bench))
    one.data_received(confirmed(1))
    other.data_received(confirmed(2) + confirmed(3))
    one.data_received(confirmed(4))
    assert len(values(bench)) == written
    bench.listener.gathering.flush()
    assert values(bench)[written:] == [1, 2, 3, 4]
    assert first.written == second.written == []
    bench.publisher.deliver(len(bench.publisher.waiting))
    await turn()
    assert b"".join(first.written) == confirm(1) + confirm(4)
    assert b"".join(second.written) == confirm(2) + confirm(3)
    assert bench.deliveries.groups == 0


async def test_pushes_that_come_in_quick_succession_are_gathered_though_kafka_has_those_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(push_gathering, "_MANY_S", 60.0)
    bench = Bench(limit=1000)
    connection, _ = bench.connect()
    for invoke in range(1, push_gathering._MANY + 1):
        connection.data_received(confirmed(invoke))
        bench.publisher.deliver()
        await turn()
    assert bench.deliveries.groups == 0
    assert values(bench) == list(range(1, push_gathering._MANY + 1))
    connection.data_received(confirmed(1_001))
    assert 1_001 not in values(bench)
    bench.listener.gathering.flush()
    assert values(bench)[-1] == 1_001


async def test_no_more_are_gathered_than_that_however_many_one_connection_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_gathering, "_AT_ONCE", 10)
    monkeypatch.setattr(push_gathering, "_MOST", 40)
    bench = Bench(limit=1000)
    await pressed(bench)
    connection, _ = bench.connect()
    written = len(values(bench))
    connection.data_received(b"".join(map(confirmed, range(1, 31))))
    assert len(values(bench)) == written
    connection.data_received(b"".join(map(confirmed, range(31, 41))))
    assert values(bench)[written:] == list(range(1, 41))


async def test_many_that_are_gathered_are_encoded_some_at_a_time_and_sent_together_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(push_gathering, "_AT_ONCE", 2)
    bench = Bench(limit=1000)
    await pressed(bench)
    connection, transport = bench.connect()
    written = len(values(bench))
    for invoke in range(1, 6):
        connection.data_received(confirmed(invoke))
    assert len(values(bench)) == written
    refuse_the_value(7, bench, monkeypatch)
    for invoke in (6, 7, 8):
        connection.data_received(confirmed(invoke))
    bench.listener.gathering.flush()
    assert values(bench)[written:] == [1, 2, 3, 4, 5, 6, 8]
    assert bench.letters() == ["avro-value"]
    bench.publisher.deliver(len(bench.publisher.waiting))
    await turn()
    assert b"".join(transport.written) == b"".join(map(confirm, range(1, 9)))


@pytest.mark.parametrize("goes", ["alarm", "letter", "drain", "close", "window"])
async def test_what_was_gathered_goes_before(goes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_gathering, "WINDOW_S", 0.0)
    bench = Bench(limit=1000)
    await pressed(bench)
    connection, _ = bench.connect()
    connection.data_received(confirmed(1))
    assert 1 not in values(bench)
    if goes == "alarm":
        connection.data_received(wrapped(notification(named(SERIAL_OBIS, text(SERIAL), ""), named(ALARM, long(1), ""))))
        assert len(bench.publisher.records("hes.events.urgent")) == 1
    elif goes == "letter":
        connection.data_received(wrapped(reading(serial="somebody else")))
        assert bench.letters() == ["meter-unknown"]
    elif goes == "window":
        await turn()
    else:
        getattr(bench.listener, goes)()
    assert values(bench)[-1] == 1


async def test_each_gathered_push_has_the_time_it_came_at() -> None:
    bench = Bench(limit=1000)
    await pressed(bench)
    connection, _ = bench.connect()
    connection.data_received(confirmed(1))
    bench.clock.advance(1)
    connection.data_received(confirmed(2))
    bench.listener.gathering.flush()
    *_, early, late = [headers["ce_time"] for topic, _, _, headers in bench.publisher.sent if topic == "hes.events.bulk"]
    assert (early, late) == (iso(NOW).encode(), iso(NOW + 1_000).encode())


async def test_one_of_many_gathered_that_cannot_be_encoded_is_a_dead_letter_and_the_others_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(limit=1000)
    await pressed(bench)
    refuse_the_value(2, bench, monkeypatch)
    connections = [bench.connect() for _ in range(3)]
    for number, (connection, _) in enumerate(connections, 1):
        connection.data_received(confirmed(number) + confirmed(number + 10))
    bench.listener.gathering.flush()
    assert values(bench)[-5:] == [1, 11, 12, 3, 13]
    assert bench.letters() == ["avro-value"]
    bench.publisher.deliver(len(bench.publisher.waiting))
    await turn()
    told = [b"".join(transport.written) for _, transport in connections]
    assert told == [confirm(number) + confirm(number + 10) for number in (1, 2, 3)]


def gasp(invoke: int) -> bytes:
    """A push with an alarm, which is acknowledged."""
    telegram = notification(named(SERIAL_OBIS, text(SERIAL), ""), named(ALARM, long(1), ""), invoke_id=0x40000000 | invoke)
    return wrapped(telegram)


def alarms(bench: Bench) -> int:
    return len(bench.publisher.records("hes.events.urgent"))


async def storming(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many pushes with alarms came within a moment that more are gathered."""
    monkeypatch.setattr(push_gathering, "_STORM_S", 60.0)
    for invoke in range(1, push_gathering._STORM):
        bench.connect()[0].data_received(gasp(invoke))
    assert alarms(bench) == push_gathering._STORM - 1  # none of them waited


@pytest.mark.parametrize("goes", ["drain", "close", "window"])
async def test_alarms_of_a_storm_wait_for_each_other_and_each_is_acknowledged_when_its_frames_are_there_too(
    goes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_gathering, "STORM_WINDOW_S", 0.0)
    bench = Bench(limit=1000)
    bulk = HeldPublisher()
    emitter = bench.listener.emitter
    emitter._lanes = replace(emitter._lanes, bulk=cast("Publisher", bulk))
    await storming(bench, monkeypatch)
    bench.publisher.deliver()
    before, (one, first), (other, second) = alarms(bench), bench.connect(), bench.connect()
    one.data_received(gasp(1_001))
    other.data_received(gasp(1_002))
    assert alarms(bench) == before
    await turn() if goes == "window" else getattr(bench.listener, goes)()
    assert alarms(bench) == before + 2
    assert len(bulk.records("hes.frames")) == 2
    if goes == "close":
        return
    bench.publisher.deliver()
    await turn()
    assert first.written == second.written == []
    bulk.deliver()
    await turn()
    assert (first.written, second.written) == ([confirm(1_001)], [confirm(1_002)])
    assert bench.deliveries.groups == 0


async def test_a_storm_hurries_readings_that_were_gathered_and_is_over_when_alarms_are_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(push_gathering, "STORM_WINDOW_S", 0.0)
    bench = Bench(limit=1000)
    await storming(bench, monkeypatch)
    await pressed(bench)
    connection, _ = bench.connect()
    connection.data_received(confirmed(1))
    connection.data_received(gasp(2))
    assert 1 not in values(bench)
    await turn()
    assert values(bench)[-1] == 1
    monkeypatch.setattr(push_gathering, "_STORM_S", 0.0)
    before = alarms(bench)
    connection.data_received(gasp(3))
    assert alarms(bench) == before + 1


async def test_one_report_that_fails_in_either_lane_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_gathering, "STORM_WINDOW_S", 0.0)
    bench = Bench(limit=1000)
    bulk = HeldPublisher()
    emitter = bench.listener.emitter
    emitter._lanes = replace(emitter._lanes, bulk=cast("Publisher", bulk))
    await storming(bench, monkeypatch)
    connection, transport = bench.connect()
    connection.data_received(gasp(1_001))
    await turn()
    bench.publisher.deliver()
    bulk.deliver(error=DeliveryError("Kafka is away"))
    await turn()
    assert (transport.state, transport.written) == ("aborted", [])
