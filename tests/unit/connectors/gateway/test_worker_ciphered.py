"""Ciphered sessions of a worker: which counters are used, and what happens when they are out of step."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from schemas.records import AlarmKind, Outcome
from tests.unit.connectors.gateway.builders import AK, EK
from tests.unit.connectors.gateway.ledgers import Shared
from tests.unit.connectors.gateway.secured_bench import PULL, Secured, alarms, done, read_name, secured_bench
from tests.unit.connectors.protocols.dlms.secure_meter import SecureMeter


async def test_a_ciphered_meter_is_read_above_its_own_counter() -> None:
    there = Secured()
    bench = secured_bench(there)
    bench.put(read_name())
    await done(bench)
    assert bench.ended() == [("j1", Outcome.DONE, "")]
    (record,) = bench.ledger.shared.written
    assert 500 < there.meter.heard < record.reserved == 600
    assert bench.readings()[0].registers[0].value == "HES42"


async def test_the_next_visit_goes_on_where_the_last_stopped_and_asks_nobody() -> None:
    there = Secured()
    bench = secured_bench(there)
    bench.put(read_name())
    await done(bench)
    heard, asked = there.meter.heard, len(there.public.requests)
    bench.put(read_name("j2"))
    await done(bench, 2)
    assert [outcome for _, outcome, _ in bench.ended()] == [Outcome.DONE] * 2
    assert there.meter.heard > heard
    assert len(there.public.requests) == asked


async def test_after_a_crash_nothing_is_used_again() -> None:
    there, shared = Secured(), Shared()
    first = secured_bench(there, shared)
    first.put(read_name())
    await done(first)
    heard = there.meter.heard
    second = secured_bench(there, shared, replace(PULL, counter=None))
    second.put(read_name("j2"))
    await done(second)
    assert second.ended() == [("j2", Outcome.DONE, "")]
    assert there.meter.heard > 600 > heard


async def test_a_restored_backup_is_mended_by_what_the_meter_says() -> None:
    there = Secured(counted=90_000)
    bench = secured_bench(there)
    bench.ledger.shared.reserved[0] = {("m1", "ref"): 89_500}
    bench.put(read_name())
    await done(bench)
    assert bench.ended() == [("j1", Outcome.DONE, "")]
    assert there.meter.heard > 90_000


async def test_counters_out_of_step_are_put_right_at_the_next_visit() -> None:
    there = Secured()
    bench = secured_bench(there)
    bench.put(read_name())
    await done(bench)
    there.meter.heard = 800  # another system has read the meter
    bench.put(read_name("j2"))
    await done(bench, 2)
    assert bench.ended()[1][1] is Outcome.FAILED
    bench.put(read_name("j3"))
    await done(bench, 3)
    assert bench.ended()[2] == ("j3", Outcome.DONE, "")


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        pytest.param({"ek": bytes(16)}, None, id="wrong-key"),
        pytest.param({"title": b"MTR\0\0\0\0\3"}, "peer-title", id="another-meter"),
    ],
)
async def test_somebody_else_at_the_meters_place(keys: dict[str, bytes], code: str | None) -> None:
    there = Secured()
    given: dict[str, Any] = {"ek": EK, "ak": AK} | keys
    there.meter = SecureMeter(there.meter.inner, **given)
    bench = secured_bench(there, pull=replace(PULL, counter=None))
    bench.put(read_name())
    await done(bench)
    assert bench.ended()[0][1] is Outcome.FAILED
    if code is not None:
        assert bench.ended()[0][2] == code
        assert [alarm.code for alarm in alarms(bench, AlarmKind.SECURITY)] == [code]


async def test_nothing_is_sent_while_no_counters_can_be_reserved() -> None:
    there = Secured(counted=0)
    bench = secured_bench(there, pull=replace(PULL, counter=None))
    bench.ledger.failing = [(OSError("away"), False)] * 3
    bench.put(read_name())
    for _ in range(30):
        await bench.run(0.1)
        await asyncio.to_thread(lambda: None)
    assert (bench.network.connects, bench.ended()) == ([], [])
    await bench.run(60)
    await done(bench)
    assert bench.ended() == [("j1", Outcome.DONE, "")]
