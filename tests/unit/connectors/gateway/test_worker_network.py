"""Jobs and the network between: segments that break, meters that dial in, partitions that come and go."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from connectors.gateway.intake import BULK, URGENT, Ticket
from connectors.gateway.keystore import MeterKeys
from connectors.gateway.push_listener import PushConnection, PushListener
from schemas.records import AlarmKind, Meter, Network, Operation, Outcome, SessionFrames
from streams.runtime.settings import Pace
from tests.unit.connectors.gateway.bench import Bench, job, registered
from tests.unit.connectors.gateway.builders import NOW, reading, wrapped
from tests.unit.connectors.gateway.meters import PASSWORD, ScriptedMeter
from tests.unit.connectors.gateway.meters import Network as Wires
from tests.unit.connectors.gateway.secured_bench import alarms
from tests.unit.connectors.gateway.test_push_listener import FakeTransport
from tests.unit.streams.fakes import fake_message

REFUSES = ConnectionRefusedError(111, "Connection refused")


# -- segments --------------------------------------------------------------------------------------------------------------


async def test_a_segment_that_answers_nobody_is_left_alone_with_one_alarm_and_tried_again() -> None:
    meters = [registered(f"m{n}", n, network=Network.ETHERNET) for n in range(1, 41)]
    there: dict[int, ScriptedMeter | Exception] = dict.fromkeys(range(1, 41), REFUSES)
    bench = Bench(*meters, network=Wires(there), attempts=1, sessions=5)
    bench.put(*(job(Operation.PING, f"j{n}", f"m{n}") for n in range(1, 41)))
    await bench.run(20)
    failed = len(bench.ended())
    assert 8 <= failed <= 13  # eight in a row, and those that were under way
    (alarm,) = alarms(bench, AlarmKind.COMMUNICATION)
    assert (alarm.code, alarm.segment, alarm.code_table) == ("segment-unreachable", "cell-1", "hes-gateway")
    await bench.run(30)
    assert len(bench.ended()) == failed + 1  # the one that tried
    bench.network.meters.update({n: ScriptedMeter() for n in range(1, 41)})
    await bench.run(80)
    assert [alarm.code for alarm in alarms(bench, AlarmKind.COMMUNICATION)] == ["segment-unreachable", "segment-reachable"]
    assert len(bench.ended()) == 40
    assert sum(outcome is Outcome.DONE for _, outcome, _ in bench.ended()) == 40 - failed - 1


async def test_other_segments_are_read_meanwhile_and_a_job_that_waits_says_why_it_expired() -> None:
    meters = [registered(f"m{n}", n, network=Network.ETHERNET) for n in range(1, 11)]
    there: dict[int, ScriptedMeter | Exception] = {99: ScriptedMeter()}
    there.update(dict.fromkeys(range(1, 11), REFUSES))
    bench = Bench(*meters, registered("far", 99, segment="cell-2"), network=Wires(there), attempts=1, sessions=2)
    bench.put(*(job(Operation.PING, f"j{n}", f"m{n}", deadline=NOW + 25_000) for n in range(1, 11)))
    await bench.run(5)
    bench.put(job(Operation.PING, "far", "far"))
    await bench.run(5)
    assert ("far", Outcome.DONE, "") in bench.ended()
    await bench.run(20)
    expired = [result for result in bench.results() if result.outcome is Outcome.EXPIRED]
    assert expired
    assert all("segment cell-1" in result.detail for result in expired)


async def test_a_meter_that_answers_nonsense_is_no_fault_of_its_segment() -> None:
    meters = [registered(f"m{n}", n, network=Network.ETHERNET) for n in range(1, 21)]
    refusing: dict[int, ScriptedMeter | Exception] = {n: ScriptedMeter(password=b"other") for n in range(1, 21)}
    bench = Bench(*meters, network=Wires(refusing), attempts=1)
    bench.put(*(job(Operation.PING, f"j{n}", f"m{n}") for n in range(1, 21)))
    await bench.run(5)
    assert len(bench.ended()) == 20
    assert alarms(bench, AlarmKind.COMMUNICATION) == []


async def test_the_pace_of_a_segment_holds_whatever_waits() -> None:
    meters = [registered(f"m{n}", n, network=Network.PLC_G3) for n in range(1, 31)]
    silent: dict[int, ScriptedMeter | Exception] = {n: ScriptedMeter(silent_after=0) for n in range(1, 31)}
    bench = Bench(*meters, network=Wires(silent), answer_timeout_s=1_000)
    bench.put(*(job(Operation.PING, f"j{n}", f"m{n}") for n in range(1, 26)))
    opened = []
    for _ in range(4):
        await bench.run(1)
        opened.append(len(bench.network.connects))
    assert opened == [2, 4, 4, 4]
    bench.put(*(job(Operation.PING, f"u{n}", f"m{n}") for n in range(26, 31)), lane=URGENT)
    await bench.run(2)
    assert len(bench.network.connects) == 5


async def test_silent_meters_of_a_cell_do_not_hold_up_those_that_answer() -> None:
    there: dict[int, ScriptedMeter | Exception] = {n: ScriptedMeter(silent_after=0) for n in range(1, 31)}
    there |= {n: ScriptedMeter() for n in range(31, 61)}
    meters = [registered(f"m{n}", n, network=Network.NB_IOT) for n in range(1, 61)]
    own = {"cell-1": Pace(sessions=10, starts_per_s=1_000, silent_s=3)}
    bench = Bench(*meters, network=Wires(there), answer_timeout_s=30, segments=own)
    bench.put(*(job(Operation.READ_CLOCK, f"j{n}", f"m{n}") for n in range(1, 61)))
    await bench.run(2)
    assert bench.ended() == []  # the silent ones have all places
    await bench.run(12)
    assert len(bench.ended()) == 30
    assert {outcome for _, outcome, _ in bench.ended()} == {Outcome.DONE}
    segment = bench.worker._segments.of(meters[0])
    assert (segment.active, len(segment.silent)) == (0, 30)
    await bench.run(600)
    assert (segment.active, segment.silent) == (0, set())


async def test_a_slow_meter_has_its_place_again_once_it_speaks() -> None:
    slow = ScriptedMeter(silent_after=0)
    meter = registered("m1", 1, network=Network.NB_IOT)
    bench = Bench(meter, network=Wires({1: slow}), answer_timeout_s=30)
    bench.put(job(Operation.READ_CLOCK, "j1", "m1"))
    await bench.run(4)
    segment = bench.worker._segments.of(meter)
    assert (segment.active, segment.silent) == (0, {"m1"})
    wire, head = bench.network.wires[0], wrapped(slow.answer(bench.network.wires[0].sent[0][8:]), 1, 16)
    wire._link.data_received(head[:5])  # octets make no message
    await bench.run(1)
    assert segment.silent == {"m1"}
    wire._link.data_received(head[5:])
    await bench.run(1)
    assert (segment.active, segment.silent) == (1, set())
    await bench.run(5)  # silent again: it has shown that it is there, and keeps its place
    assert (segment.active, segment.silent) == (1, set())


# -- dial-in ---------------------------------------------------------------------------------------------------------------


class DialIn(Bench):
    """A worker beside a listener."""

    def __init__(self, *meters: Meter, **more: Any) -> None:
        super().__init__(*meters, **more)
        emitter = self.worker._tools.emitter
        self.listener = PushListener(self.worker.settings, self.clock, self.pipeline, emitter, self.deliveries, self.lines)

    def dial(self, there: ScriptedMeter) -> tuple[PushConnection, Answers]:
        connection = self.listener.connection()
        transport = Answers(connection, there)
        connection.connection_made(cast("asyncio.Transport", transport))
        return connection, transport


class Answers(FakeTransport):
    """The meter's end of the connection that it made."""

    def __init__(self, connection: PushConnection, there: ScriptedMeter) -> None:
        super().__init__()
        self._connection, self._there = connection, there

    def write(self, data: bytes) -> None:
        super().write(data)
        self._there.requests += 1
        if data[8] == 0x10 or self._there.requests > self._there.silent_after:
            return
        reply = wrapped(self._there.answer(data[8:]), 1, int.from_bytes(data[2:4]))
        asyncio.get_running_loop().call_soon(self._connection.data_received, reply)


async def test_a_job_waits_until_its_meter_dials_in_and_is_done_on_that_connection() -> None:
    bench = DialIn(registered(endpoint="dial-in"))
    bench.put(job(Operation.READ_CLOCK, deadline=NOW + 3_600_000))
    await bench.run(600)
    assert bench.ended() == []
    connection, transport = bench.dial(ScriptedMeter())
    connection.data_received(wrapped(reading()))
    await bench.run(1)
    assert bench.ended() == [("j1", Outcome.DONE, "")]
    assert (bench.network.connects, transport.state, connection.free) == ([], "open", True)
    bench.put(job(Operation.READ_CLOCK, "j2"))
    await bench.run(1)
    assert bench.ended()[1:] == [("j2", Outcome.DONE, "")]
    kept = [part for part in bench.publisher.records("hes.frames") if isinstance(part, SessionFrames) and part.job_id]
    assert {part.endpoint for part in kept} == {"10.0.0.7:41000"}


async def test_a_job_whose_meter_does_not_dial_in_expires_and_says_so() -> None:
    bench = DialIn(registered(endpoint="dial-in"))
    bench.put(job(Operation.READ_CLOCK, deadline=NOW + 5_000))
    await bench.run(10)
    (result,) = bench.results()
    assert (result.outcome, result.code) == (Outcome.EXPIRED, "job-expired")
    assert "did not dial in" in result.detail


async def test_a_meter_that_dials_in_and_falls_silent_is_hung_up_on_and_tried_when_it_comes_again() -> None:
    bench = DialIn(registered(endpoint="dial-in"), answer_timeout_s=5)
    connection, transport = bench.dial(ScriptedMeter(silent_after=0))
    connection.data_received(wrapped(reading()))
    bench.put(job(Operation.READ_CLOCK, deadline=NOW + 3_600_000))
    await bench.run(7)
    assert transport.state == "closed"
    connection.connection_lost(None)
    await bench.run(60)
    assert bench.ended() == []
    again, _ = bench.dial(ScriptedMeter())
    again.data_received(wrapped(reading()))
    await bench.run(10)
    assert bench.ended() == [("j1", Outcome.DONE, "")]


async def test_a_password_is_not_told_to_whoever_says_it_is_the_meter() -> None:
    keys = {"ref": MeterKeys(password=PASSWORD)}
    bench = DialIn(registered(endpoint="dial-in", template="idis", key_ref="ref"), keys=keys)
    connection, transport = bench.dial(ScriptedMeter(password=PASSWORD))
    connection.data_received(wrapped(reading()))
    bench.put(job(Operation.READ_CLOCK))
    await bench.run(2)
    assert bench.ended() == [("j1", Outcome.FAILED, "line-unproven")]
    assert transport.written == []
    connection.proven = True
    bench.put(job(Operation.READ_CLOCK, "j2"))
    await bench.run(5)
    assert bench.ended()[1:] == [("j2", Outcome.DONE, "")]


# -- partitions that come and go -------------------------------------------------------------------------------------------


async def test_a_job_under_way_whose_partition_comes_back_is_done_once() -> None:
    there = ScriptedMeter(silent_after=1)
    bench = Bench(registered(), network=Wires({4059: there}), answer_timeout_s=100)
    wanted = job(Operation.READ_CLOCK)
    bench.put(wanted)
    await bench.run(1)
    bench.worker.revoked({(BULK, 0), (URGENT, 0)})
    bench.worker.take([Ticket(wanted, (BULK, 0), 0, fake_message(wanted))])
    await bench.run(1)
    assert len(bench.network.connects) == 1
    there.silent_after = 1_000
    bench.network.wires[0]._back(wrapped(b"\xc4\x01\xc1\x00" + there.holds["8/0.0.1.0.0.255/2"], 1, 16))
    await bench.run(2)
    assert (bench.ended(), bench.offsets.finished) == ([("j1", Outcome.DONE, "")], ["j1"])
    assert len(bench.network.connects) == 1


async def test_what_fails_after_its_partition_went_is_the_new_owners_to_try() -> None:
    bench = Bench(registered(), network=Wires({4059: ScriptedMeter(silent_after=0)}), answer_timeout_s=5)
    bench.put(job(Operation.READ_CLOCK))
    await bench.run(1)
    bench.worker.revoked({(BULK, 0)})
    await bench.run(60)
    assert (bench.ended(), bench.offsets.finished, len(bench.network.connects)) == ([], [], 1)


async def test_what_succeeds_after_its_partition_went_is_told_with_the_same_id() -> None:
    there = ScriptedMeter()
    bench = Bench(registered(), network=Wires({4059: there}))
    bench.put(job(Operation.READ_CLOCK))
    bench.worker.tick()
    for _ in range(3):
        await asyncio.sleep(0)
    bench.worker.revoked({(BULK, 0)})
    await bench.run(5)
    (late,) = bench.results()
    other = Bench(registered(), network=Wires({4059: there}))
    other.put(job(Operation.READ_CLOCK))
    await other.run(5)
    assert (late.outcome, late.id) == (Outcome.DONE, other.results()[0].id)
