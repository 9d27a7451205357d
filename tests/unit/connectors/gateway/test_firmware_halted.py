"""A campaign that is paused or halted while gateways hold its jobs: what is under way stops at a block, nothing begins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from gurux_dlms.enums import ErrorCode

from connectors.gateway.errors import JobError
from connectors.gateway.proofs import Authority
from schemas.records import CampaignStop, Job, Outcome, Priority
from schemas.records import Network as AccessNetwork
from schemas.signatures import public_key
from streams.runtime.authority.stops import HALTED
from streams.runtime.settings import Commands, Settings
from tests.unit.connectors.gateway.builders import NOW
from tests.unit.connectors.gateway.firmware_bench import a_bench, settle, through
from tests.unit.connectors.gateway.firmware_meters import BLOCKS, FIRMWARE, ImageMeter, firmware_job
from tests.unit.streams.runtime.authority.builders import CODEC, HERE, ROOT, operator, sign
from tests.unit.streams.runtime.authority.builders import NOW as AUTHORITY_NOW

pytestmark = pytest.mark.usefixtures("no_threads")


async def test_what_has_not_begun_does_not_begin() -> None:
    there = ImageMeter()
    bench, _, proving = a_bench(there)
    proving.stopped = HALTED
    bench.put(firmware_job())
    await settle(bench, 5)
    assert bench.ended() == [("f1", Outcome.CANCELLED, HALTED)]
    assert (bench.network.connects, there.methods) == ([], [])


async def test_what_waits_in_its_segments_line_does_not_begin_either() -> None:
    there = ImageMeter()
    bench, _, proving = a_bench(there, known={"network": AccessNetwork.NB_IOT, "segment": "cell-1"})
    bench.put(firmware_job(not_before=NOW + 20_000))
    await settle(bench, 5)
    proving.stopped = HALTED
    await settle(bench, 30)
    assert (bench.ended(), there.methods) == ([("f1", Outcome.CANCELLED, HALTED)], [])


async def test_a_transfer_stops_at_the_next_block_and_goes_on_when_it_is_resumed() -> None:
    there = ImageMeter()
    bench, _, proving = a_bench(there)
    take = there.image.does[2]

    def stops_at_seven(value: Any) -> None:
        take(value)
        if len(there.blocks) == 7 and not bench.results():
            proving.stopped = HALTED

    there.image.does[2] = stops_at_seven
    bench.put(firmware_job())
    await settle(bench, 10)
    (result,) = bench.results()
    assert (result.outcome, result.code, result.rows) == (Outcome.CANCELLED, HALTED, 7)
    assert result.detail.startswith("7 of 16 blocks are in the meter; ")
    assert "nothing was sent" not in result.detail
    assert there.blocks == list(range(7))
    proving.stopped = ""
    bench.put(firmware_job("f2", attempt=2))
    await through(bench, there)
    assert (there.methods.count(1), there.blocks, there.holds) == (1, list(range(BLOCKS)), FIRMWARE)
    assert bench.ended()[1:] == [("f2", Outcome.DONE, "")]


async def test_a_verified_image_is_not_activated() -> None:
    there = ImageMeter()
    bench, _, proving = a_bench(there)
    verify = there.image.does[3]

    def stopped(value: Any) -> None:
        verify(value)
        proving.stopped = HALTED

    there.image.does[3] = stopped
    bench.put(firmware_job())
    await settle(bench, 30)
    assert bench.ended() == [("f1", Outcome.CANCELLED, HALTED)]
    assert (4 in there.methods, there.away) == (False, False)


async def test_between_two_tries_it_says_how_much_is_in_the_meter() -> None:
    there = ImageMeter()
    there.image.refused = [ErrorCode.OK] * 7 + [ErrorCode.TEMPORARY_FAILURE] * 2
    bench, _, proving = a_bench(there, cut_after=(10,), retry_first_s=20)
    bench.put(firmware_job())
    await settle(bench, 5)
    assert bench.results() == []
    held = len(there.blocks)
    proving.stopped = HALTED
    await settle(bench, 60)
    (result,) = bench.results()
    assert (result.code, len(there.blocks)) == (HALTED, held)
    assert " of 16 blocks are in the meter; " in result.detail


async def test_who_was_told_to_activate_is_looked_for_whatever_was_stopped_since() -> None:
    there = ImageMeter()
    bench, _, proving = a_bench(there)
    bench.put(firmware_job())
    await settle(bench)
    assert there.away
    proving.stopped = HALTED
    there.restarted()
    await settle(bench, 90)
    assert bench.ended() == [("f1", Outcome.DONE, "")]


def authority(**more: Any) -> Authority:
    settings = Settings(environment=HERE, commands=Commands(root_key=public_key(ROOT).hex(), **more))
    found = Authority(
        cast("Any", SimpleNamespace(settings=settings, codec=CODEC, clock=SimpleNamespace(now_ms=lambda: NOW)))
    )
    found.around.operators.apply(operator("service", ("release",)))
    return found


def message(value: bytes | None) -> Any:
    return SimpleNamespace(value=lambda: value)


@pytest.mark.parametrize(
    ("signed", "releasers", "stops"), [(False, "", True), (True, "service", True), (False, "service", False)]
)
def test_the_gateway_believes_the_service_that_it_takes_jobs_from(signed: bool, releasers: str, stops: bool) -> None:
    gateway = authority(releasers=releasers)
    stop = CampaignStop("f1", AUTHORITY_NOW, code="campaign-paused", environment=HERE)
    job = Job(id="j1", caused_by="f1", issued_at=AUTHORITY_NOW, priority=Priority.FIRMWARE)
    gateway.going(job)
    gateway._stops_came([message(None), message(sign(stop, "service") if signed else CODEC.encode(stop))])
    if not stops:
        gateway.going(job)
        return
    with pytest.raises(JobError) as stopped:
        gateway.going(job)
    assert (stopped.value.code, stopped.value.alarm, stopped.value.retry) == (HALTED, False, False)
    gateway.going(Job(id="j2", caused_by="f1", issued_at=AUTHORITY_NOW + 1))


def test_a_stop_whose_signer_is_not_known_yet_counts_once_he_is() -> None:
    gateway = authority(releasers="late")
    stop = CampaignStop("f1", AUTHORITY_NOW, environment=HERE)
    gateway._stops_came([message(sign(stop, "late"))])
    job = Job(caused_by="f1", issued_at=1)
    gateway.going(job)
    gateway._operators_came([message(operator("late", ("release",)))])
    with pytest.raises(JobError):
        gateway.going(job)
