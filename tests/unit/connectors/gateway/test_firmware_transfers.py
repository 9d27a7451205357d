"""An image on its way through a worker: brought, broken off, taken up again."""

from __future__ import annotations

from typing import Any

import pytest
from gurux_dlms.enums import ErrorCode

from connectors.gateway.firmware_deed import INITIATED, LAST, ORDERED, SETTLED
from connectors.gateway.intake import URGENT
from schemas.records import CommandIntent, Operation, Outcome, Priority, SessionFrames
from schemas.records import Network as AccessNetwork
from tests.unit.connectors.gateway.bench import job
from tests.unit.connectors.gateway.builders import NOW
from tests.unit.connectors.gateway.firmware_bench import a_bench, kept, settle, through
from tests.unit.connectors.gateway.firmware_meters import (
    BLOCKS,
    FIRMWARE,
    NEW,
    OLD,
    FakeImages,
    ImageMeter,
    firmware_job,
)
from tests.unit.connectors.gateway.test_deeds import Shared

pytestmark = pytest.mark.usefixtures("no_threads")


async def test_an_image_is_brought_verified_activated_and_its_version_read_back() -> None:
    there = ImageMeter()
    bench, desk, _ = a_bench(there)
    bench.put(firmware_job())
    await settle(bench)
    assert (there.holds, there.methods) == (FIRMWARE, [1, *[2] * BLOCKS, 3, 4])
    assert [(intent.code, intent.before) for intent in kept(desk)] == [(ORDERED, OLD)]
    assert (bench.ended(), there.away) == ([], True)
    connects = len(bench.network.connects)
    await settle(bench, 20)
    assert len(bench.network.connects) == connects  # left alone for restart_s
    there.restarted()
    await settle(bench, 60)
    (result,) = bench.results()
    assert (result.outcome, result.before, result.after, result.rows) == (Outcome.DONE, OLD, NEW, BLOCKS)
    assert [(intent.code, intent.outcome, intent.after) for intent in kept(desk)] == [(SETTLED, Outcome.DONE, NEW)]
    assert bench.offsets.finished == ["f1"]


async def test_frames_of_blocks_are_not_kept_but_for_the_first() -> None:
    there = ImageMeter()
    bench, _, _ = a_bench(there)
    bench.put(firmware_job())
    await through(bench, there)
    frames = b"".join(
        frame.data
        for part in bench.publisher.records("hes.frames")
        if isinstance(part, SessionFrames)
        for frame in part.frames
    )
    assert [FIRMWARE[n * 64 : n * 64 + 64] in frames for n in range(3)] == [True, False, False]


@pytest.mark.parametrize("cut_after", [(9,), (3,), (8, 9, 10), (24,)], ids=str)
async def test_a_line_that_breaks_costs_only_what_was_on_its_way(cut_after: tuple[int, ...]) -> None:
    there = ImageMeter(lose={5})
    bench, _, _ = a_bench(there, cut_after=cut_after)
    bench.put(firmware_job())
    await through(bench, there, 60)
    assert there.holds == FIRMWARE
    assert (there.methods.count(1), len(there.blocks) <= BLOCKS + 1 + len(cut_after)) == (1, True)
    assert bench.ended() == [("f1", Outcome.DONE, "")]


async def test_more_breaks_than_tries_end_nothing_as_long_as_blocks_arrive() -> None:
    there = ImageMeter()
    bench, _, _ = a_bench(there, cut_after=(8,) * 20, attempts=2)
    bench.put(firmware_job())
    await through(bench, there, 120)
    assert (there.methods.count(1), bench.ended()) == (1, [("f1", Outcome.DONE, "")])


async def test_another_worker_goes_on_where_one_was_killed() -> None:
    there, shared = ImageMeter(), Shared()
    first, _, _ = a_bench(there, cut_after=(12, 0), shared=shared)
    first.put(firmware_job())
    await settle(first, 0.5)
    assert 0 < len(there.blocks) < BLOCKS
    second, _, _ = a_bench(there, shared=shared)
    second.put(firmware_job())
    await through(second, there)
    assert (there.methods.count(1), there.blocks, there.holds) == (1, list(range(BLOCKS)), FIRMWARE)
    assert [result.rows < BLOCKS for result in second.results()] == [True]


async def test_blocks_of_which_nobody_knows_whose_they_are_are_not_built_upon() -> None:
    there = ImageMeter()
    there.image.begin((b"FW-1.5", len(FIRMWARE)))
    there.image.take((0, bytes(64)))
    bench, _, _ = a_bench(there)
    bench.put(firmware_job())
    await through(bench, there)
    assert (there.methods[0], there.blocks, there.holds) == (1, list(range(BLOCKS)), FIRMWARE)


async def test_killed_between_initiation_and_word_of_it_the_image_is_initiated_again() -> None:
    there, shared = ImageMeter(), Shared()
    first, desk, _ = a_bench(there, shared=shared)
    desk.ledger.failing = [RuntimeError("gone")] * 50
    first.put(firmware_job())
    await settle(first, 1)
    assert there.methods == [1]
    second, _, _ = a_bench(there, shared=shared)
    second.put(firmware_job())
    await through(second, there)
    assert (there.methods.count(1), there.holds) == (2, FIRMWARE)


async def test_another_image_is_forgotten_before_this_one_is_initiated() -> None:
    there, shared = ImageMeter(), Shared()
    other = CommandIntent(meter_id="m1", digest=LAST, code=INITIATED, detail="another", at=NOW, expires=NOW * 2)
    shared.intents["m1", LAST] = other
    seen: list[str] = []
    begin = there.image.does[1]

    def begins(value: Any) -> None:
        seen.append(shared.intents["m1", LAST].code)
        begin(value)

    there.image.does[1] = begins
    bench, _, _ = a_bench(there, shared=shared)
    bench.put(firmware_job())
    await through(bench, there)
    assert seen == [""]


async def test_the_deadline_ends_a_transfer_and_leaves_what_is_there() -> None:
    there = ImageMeter()
    there.image.refused = [ErrorCode.OK] * 7 + [ErrorCode.TEMPORARY_FAILURE] * 2
    bench, _, _ = a_bench(there)
    bench.put(firmware_job(deadline=NOW + 8_000))
    await settle(bench, 20)
    (result,) = bench.results()
    assert (result.outcome, result.code, result.rows) == (Outcome.FAILED, "firmware-unfinished", 6)
    assert "6 of 16 blocks are in the meter" in result.detail
    bench.put(firmware_job("f2", attempt=2, deadline=NOW + 7_200_000))
    await through(bench, there)
    assert (there.methods.count(1), bench.ended()[1:]) == (1, [("f2", Outcome.DONE, "")])


async def test_while_it_waits_its_turn_the_deadline_says_the_same() -> None:
    there = ImageMeter()
    bench, _, _ = a_bench(there, cut_after=(8, 0, 0, 0, 0, 0, 0, 0, 0), attempts=9, retry_first_s=60)
    bench.put(firmware_job(deadline=NOW + 70_000))
    await settle(bench, 90)
    (result,) = bench.results()
    assert (result.code, result.rows > 0) == ("firmware-unfinished", True)


async def test_what_is_on_demand_goes_between_blocks_on_the_same_association() -> None:
    there = ImageMeter()
    there.image.refused = [ErrorCode.OK] * 4 + [ErrorCode.TEMPORARY_FAILURE]
    bench, _, _ = a_bench(there)
    bench.put(firmware_job())
    await settle(bench, 1)
    bench.put(job(Operation.READ_REGISTERS, "now", priority=Priority.ON_DEMAND, objects=("1/1.0.0.2.0.255/2",)), lane=URGENT)
    await settle(bench, 2)
    assert bench.ended() == [("now", Outcome.DONE, "")]
    assert (there.associations, len(there.blocks) < BLOCKS) == (1, True)
    await through(bench, there)
    assert bench.ended()[1:] == [("f1", Outcome.DONE, "")]


async def test_a_meter_that_keeps_nothing_is_not_filled_for_ever() -> None:
    there = ImageMeter()
    there.image.does[2] = lambda _: None
    bench, _, _ = a_bench(there)
    bench.put(firmware_job())
    await settle(bench, 600)
    assert bench.ended() == [("f1", Outcome.FAILED, "firmware-unfinished")]
    assert len(there.blocks) <= 4 * 5 * BLOCKS


async def test_while_images_are_not_known_it_waits() -> None:
    there, images = ImageMeter(), FakeImages(caught_up=False)
    bench, _, _ = a_bench(there, images=images)
    bench.put(firmware_job())
    await settle(bench, 60)
    assert (bench.ended(), bench.network.connects) == ([], [])
    images.caught_up = True
    await through(bench, there)
    assert bench.ended() == [("f1", Outcome.DONE, "")]


async def test_a_segment_takes_as_many_images_at_once_as_its_band_says_and_no_faster() -> None:
    there = ImageMeter()
    bench, _, _ = a_bench(there, known={"network": AccessNetwork.NB_IOT, "segment": "cell-1"})
    bands = bench.worker._transfers._settings.bands
    assert bands.nb_iot.share * bands.nb_iot.bits_s == 6_000
    bench.put(firmware_job())
    await settle(bench, 1, 20)
    assert len(there.blocks) < BLOCKS  # 16 blocks of 64 octets, with what goes around them, take 3 s at 750 octets a second
    await settle(bench, 30)
    assert there.away
