"""Images through a worker, time in the test's hands: brought, broken off, taken up again, activated, and read back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from gurux_dlms.enums import DataType, ErrorCode

from connectors.gateway.addresses import Address
from connectors.gateway.drivers.dlms import DlmsDriver
from connectors.gateway.drivers.table import drivers_of
from connectors.gateway.firmware_deed import INITIATED, LAST, ORDERED, SETTLED, deed_of
from connectors.gateway.intake import URGENT
from connectors.gateway.session import MeterLink
from schemas.records import CommandIntent, Operation, Outcome, Priority, SessionFrames
from schemas.records import Network as AccessNetwork
from streams.runtime.images import ImageError
from streams.runtime.settings import Firmware
from tests.unit.connectors.gateway.builders import NOW
from tests.unit.connectors.gateway.firmware_meters import (
    BLOCKS,
    FIRMWARE,
    NEW,
    OLD,
    FakeImages,
    ImageMeter,
    firmware_job,
    manifest,
)
from tests.unit.connectors.gateway.meters import CLOCK, Network, Wire
from tests.unit.connectors.gateway.test_deeds import Desk, Shared
from tests.unit.connectors.gateway.test_worker import Bench, job, registered
from tests.unit.connectors.gateway.test_worker_commands import Proving
from tests.unit.connectors.protocols.dlms.gurux_meter import data

HOUR = 3_600.0


@pytest.fixture(autouse=True)
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What threads do is done at once: time is the test's."""

    async def at_once(work: Callable[..., Any], *given: Any) -> Any:
        return work(*given)

    monkeypatch.setattr(asyncio, "to_thread", at_once)


class Cut(Network):
    """The way to one meter, which `cut_after` requests breaks, once each; away means that it takes no connection."""

    def __init__(self, there: ImageMeter, cut_after: tuple[int, ...] = ()) -> None:
        super().__init__({})
        self.there, self.cut_after = there, list(cut_after)

    async def connect(self, factory: Callable[[], MeterLink], address: Address) -> None:
        self.connects.append(address.port)
        await asyncio.sleep(0)
        if self.there.away:
            raise ConnectionRefusedError(111, "Connection refused")
        link = factory()
        after = self.cut_after.pop(0) if self.cut_after else 1_000_000
        meter = _AsScripted(self.there, after)
        wire = Wire(link, cast("Any", meter))
        self.wires.append(wire)
        link.connection_made(cast("Any", wire))


class _AsScripted:
    """What a wire asks of a meter."""

    def __init__(self, there: ImageMeter, closes_after: int) -> None:
        self.there, self.closes_after = there, closes_after
        self.silent_after, self.requests, self.asker, self.unasked = 1_000_000, 0, 0, b""

    def answer(self, apdu: bytes) -> bytes:
        answer = self.there.answer(apdu)
        if self.there.away:
            self.silent_after = 0
        return answer


def a_bench(
    there: ImageMeter, *, cut_after: tuple[int, ...] = (), images: FakeImages | None = None, shared: Shared | None = None,
    known: dict[str, Any] | None = None, firmware: Firmware | None = None, **settings: Any,
) -> tuple[Bench, Desk, Proving]:  # fmt: skip
    meter = registered(**({"vendor": "maker", "model": "m1"} | (known or {})))
    bench, desk, proving = Bench(meter, network=Cut(there, cut_after), **settings), Desk(shared), Proving()
    desk.intents._clock = bench.clock
    commands = replace(desk.commands, clock=bench.clock, proofs=proving, make=deed_of, images=images or FakeImages())
    bench.driver = DlmsDriver(replace(bench.driver._tools, images=commands.images))
    bench.worker._commands._commands = commands
    bench.worker._tools = replace(bench.worker._tools, drivers=drivers_of((bench.driver,)), firmware=firmware or Firmware())
    return bench, desk, proving


async def settle(bench: Bench, seconds: float = 30.0, steps: int = 40) -> None:
    """Time passes."""
    for _ in range(steps):
        await bench.run(seconds / steps)


def kept(desk: Desk) -> list[CommandIntent]:
    return [intent for intent in desk.shared.intents.values() if intent.digest == LAST]


async def through(bench: Bench, there: ImageMeter, seconds: float = 30.0) -> None:
    """Until the order to activate, and past the restart."""
    await settle(bench, seconds)
    assert there.away
    there.restarted()
    await settle(bench, 90)


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


async def test_there_must_be_time_to_see_what_comes_of_an_activation() -> None:
    there = ImageMeter()
    bench, _, _ = a_bench(there)
    bench.put(firmware_job(deadline=NOW + 50_000))
    await settle(bench, 20)
    assert bench.ended() == [("f1", Outcome.FAILED, "firmware-unfinished")]
    assert 4 not in there.methods
    bench.put(firmware_job("f2", deadline=NOW + 500_000))
    await through(bench, there)
    assert (len(there.blocks), bench.ended()[1:]) == (BLOCKS, [("f2", Outcome.DONE, "")])


@pytest.mark.parametrize(
    ("back", "code", "after"),
    [(False, "firmware-silent", ""), (True, "firmware-version", OLD)],
    ids=["brick", "rolled-back"],
)
async def test_a_meter_that_does_not_come_back_as_asked(back: bool, code: str, after: str) -> None:
    there = ImageMeter(rolls_back=True)
    bench, desk, _ = a_bench(there)
    bench.put(firmware_job(deadline=NOW + 600_000))
    await settle(bench)
    if back:
        there.restarted()
    await settle(bench, 840, 100)
    assert bench.ended() == []  # back_s: whatever its deadline was
    await settle(bench, 240)
    (result,) = bench.results()
    assert (result.outcome, result.code, result.before, result.after) == (Outcome.FAILED, code, OLD, after)
    assert [intent.code for intent in kept(desk)] == [SETTLED]


async def test_who_comes_after_a_kill_looks_for_the_meter_too() -> None:
    there, shared = ImageMeter(), Shared()
    first, _, _ = a_bench(there, shared=shared)
    first.put(firmware_job())
    await settle(first)
    second, _, _ = a_bench(there, shared=shared)
    second.put(firmware_job())
    await settle(second, 300)
    assert second.ended() == []
    await settle(second, 600)
    assert second.ended() == [("f1", Outcome.FAILED, "firmware-silent")]


async def test_an_order_that_was_kept_and_never_sent_is_given_by_who_comes_after() -> None:
    there, shared = ImageMeter(), Shared()
    first, _, _ = a_bench(there, shared=shared)
    first.put(firmware_job(parameters={"activate": "verified"}))
    await settle(first)
    assert (first.results()[0].after, there.methods[-1]) == ("verified", 3)
    shared.intents["m1", LAST] = replace(shared.intents["m1", LAST], code=ORDERED, before=OLD)
    second, _, _ = a_bench(there, shared=shared)
    second.put(firmware_job())
    await through(second, there)
    assert (there.methods[-1], second.ended()) == (4, [("f1", Outcome.DONE, "")])


async def test_what_the_meter_has_already_is_done() -> None:
    there = ImageMeter()
    there.version.value = NEW.encode()
    bench, _, _ = a_bench(there)
    bench.put(firmware_job())
    await settle(bench, 5)
    assert (bench.ended(), there.methods) == ([("f1", Outcome.DONE, "")], [])
    assert (bench.results()[0].before, bench.results()[0].after) == (NEW, NEW)


@pytest.mark.parametrize("delay_s", [0, HOUR], ids=["past", "to-come"])
async def test_an_activation_at_a_time_waits_for_a_job_of_that_time(delay_s: float) -> None:
    there = ImageMeter()
    bench, _, _ = a_bench(there)
    at = "2023-11-14T22:00:00+00:00" if not delay_s else "2023-11-14T23:30:00+00:00"
    bench.put(firmware_job(parameters={"activate": at}))
    await settle(bench)
    if delay_s:
        assert (bench.ended(), 4 in there.methods) == ([("f1", Outcome.DONE, "")], False)
        assert "by a later job" in bench.results()[0].detail
        bench.clock.advance(HOUR * 2)
        bench.put(firmware_job("f2", parameters={"activate": at}))
    await through(bench, there)
    assert bench.ended()[-1][1:] == (Outcome.DONE, "")
    assert len(there.blocks) == BLOCKS


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


@pytest.mark.parametrize("when", ["before", "between", "activation"])
async def test_a_freeze_stops_it_wherever_it_is(when: str) -> None:
    there = ImageMeter()
    bench, _, proving = a_bench(there)
    if when == "before":
        proving.refusal = "frozen"
    elif when == "between":
        there.image.refused = [ErrorCode.OK] * 8 + [ErrorCode.TEMPORARY_FAILURE] * 2
    else:
        verify = there.image.does[3]

        def frozen(value: Any) -> None:
            verify(value)
            proving.refusal = "frozen"

        there.image.does[3] = frozen
    bench.put(firmware_job())
    await settle(bench, 5)
    if when == "between":
        bench.clock.advance(31)
        proving.refusal = "frozen"
    await settle(bench, 60)
    assert [(result.outcome, result.code) for result in bench.results()] == [(Outcome.FAILED, "frozen")]
    assert (4 in there.methods, there.away) == (False, False)
    assert bool(there.blocks) is (when != "before")


@pytest.mark.parametrize(
    ("known", "changed", "parameters", "code"),
    [
        pytest.param({"model": "m2"}, {}, {}, "firmware-unfit", id="model"),
        pytest.param({"vendor": ""}, {}, {}, "firmware-unfit", id="vendor"),
        pytest.param({}, {"templates": ("idis",)}, {}, "firmware-unfit", id="template"),
        pytest.param({}, {"hardware": ("B",)}, {}, "firmware-unfit", id="hardware-that-nobody-reads"),
        pytest.param({}, {"to_version": "1.6"}, {}, "firmware-unfit", id="another-version-than-approved"),
        pytest.param({}, {}, {"wave": "1"}, "object-invalid", id="unknown-term"),
        pytest.param({}, {}, {"image": "0" * 64}, "image-missing", id="no-image"),
        pytest.param({}, {}, {"manifest": "0" * 64}, "image-invalid", id="another-manifest-than-approved"),
    ],
)
async def test_what_does_not_fit_is_refused_before_anyone_connects(
    known: dict[str, Any], changed: dict[str, Any], parameters: dict[str, str], code: str
) -> None:
    found = manifest(**changed)
    bench, _, _ = a_bench(ImageMeter(), images=FakeImages({found.id: found}), known=known)
    bench.put(firmware_job(parameters=parameters))
    await settle(bench, 60)
    assert bench.ended() == [("f1", Outcome.FAILED, code)]
    assert bench.network.connects == []


@pytest.mark.parametrize(("revision", "fits"), [("B", True), ("A", False), ("", False)])
async def test_an_image_goes_to_the_hardware_that_it_is_for(revision: str, fits: bool) -> None:
    meter, found = ImageMeter(), manifest(hardware=("B", "C"))
    meter.more = (data("1.0.0.2.1.255", revision.encode(), DataType.OCTET_STRING),)
    meter.peer = meter._peer()
    bench, _, _ = a_bench(meter, images=FakeImages({found.id: found}))
    generic = bench.driver._tools.templates["generic"]
    here = replace(generic, pull=replace(generic.pull, hardware="1.0.0.2.1.255"))
    tools = replace(bench.driver._tools, templates={**bench.driver._tools.templates, "generic": here})
    bench.driver = DlmsDriver(tools)
    bench.worker._tools = replace(bench.worker._tools, drivers=drivers_of((bench.driver,)))
    bench.put(firmware_job())
    await settle(bench, 30)
    assert bool(meter.methods) is fits
    assert [result.code for result in bench.results()] == ([] if fits else ["firmware-unfit"])


@pytest.mark.parametrize(
    ("there", "changed", "parameters", "code"),
    [
        pytest.param("0.9", {"from_versions": (OLD,)}, {}, "firmware-unfit", id="from-another-version"),
        pytest.param("2.0", {}, {}, "firmware-unfit", id="downgrade"),
        pytest.param("2.0", {}, {"downgrade": "yes"}, "", id="downgrade-meant"),
    ],
)
async def test_the_version_that_is_active_decides(
    there: str, changed: dict[str, Any], parameters: dict[str, str], code: str
) -> None:
    meter, found = ImageMeter(), manifest(**changed)
    meter.version.value = there.encode()
    bench, _, _ = a_bench(meter, images=FakeImages({found.id: found}))
    bench.put(firmware_job(parameters=parameters))
    if not code:
        await through(bench, meter)
    await settle(bench, 20)
    assert [result.code for result in bench.results()] == [code]
    assert bool(meter.methods) is (not code)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        pytest.param({"spoil": True}, "firmware-refused", id="finds-it-wrong"),
        pytest.param({"refused": [ErrorCode.READ_WRITE_DENIED]}, "firmware-refused", id="takes-none"),
        pytest.param({"imageBlockSize": 0}, "firmware-refused", id="no-block-size"),
    ],
)
async def test_a_meter_that_will_not_have_it(settings: dict[str, Any], code: str) -> None:
    there = ImageMeter(**settings)
    bench, _, _ = a_bench(there)
    bench.put(firmware_job())
    await settle(bench, 60)
    assert bench.ended() == [("f1", Outcome.FAILED, code)]


async def test_a_meter_that_keeps_nothing_is_not_filled_for_ever() -> None:
    there = ImageMeter()
    there.image.does[2] = lambda _: None
    bench, _, _ = a_bench(there)
    bench.put(firmware_job())
    await settle(bench, 600)
    assert bench.ended() == [("f1", Outcome.FAILED, "firmware-unfinished")]
    assert len(there.blocks) <= 4 * 5 * BLOCKS


@pytest.mark.parametrize(
    ("fails", "code"), [("image-missing", "image-missing"), ("image-invalid", "image-invalid")], ids=str
)
async def test_without_sound_octets_nothing_is_sent(fails: str, code: str) -> None:
    there = ImageMeter()
    bench, _, _ = a_bench(there, images=FakeImages(fails=ImageError(fails, "no")))
    bench.put(firmware_job())
    await settle(bench, 60)
    assert (bench.ended(), there.methods) == ([("f1", Outcome.FAILED, code)], [])


async def test_while_images_are_not_known_it_waits() -> None:
    there, images = ImageMeter(), FakeImages(caught_up=False)
    bench, _, _ = a_bench(there, images=images)
    bench.put(firmware_job())
    await settle(bench, 60)
    assert (bench.ended(), bench.network.connects) == ([], [])
    images.caught_up = True
    await through(bench, there)
    assert bench.ended() == [("f1", Outcome.DONE, "")]


async def test_what_was_known_of_the_meter_is_asked_again_after_an_activation() -> None:
    there = ImageMeter()
    bench, _, _ = a_bench(there)
    meter = bench.pipeline.directory.get("m1")
    assert meter is not None
    bench.driver._shapes.units(meter, bench.clock.now_ms())[cast("Any", CLOCK)] = cast("Any", 1)
    bench.put(firmware_job())
    await through(bench, there)
    assert bench.driver._shapes.units(meter, bench.clock.now_ms()) == {}


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


async def test_a_worker_that_is_held_up_before_it_orders_orders_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ImageMeter()
    bench, desk, _ = a_bench(there)
    write, slow = desk.ledger.write, [3.0]

    def slowly(*given: Any) -> None:
        write(*given)
        if given[1][0].code == ORDERED and slow:
            bench.clock.advance(slow.pop())

    monkeypatch.setattr(desk.ledger, "write", slowly)
    bench.put(firmware_job())
    await through(bench, there)
    assert (there.methods.count(4), bench.ended(), slow) == (1, [("f1", Outcome.DONE, "")], [])


async def test_a_forged_job_reaches_no_meter() -> None:
    bench, _, proving = a_bench(ImageMeter())
    proving.refusal = "job-unproven"
    bench.put(firmware_job(request=b""))
    await settle(bench, 5)
    assert (bench.ended(), bench.network.connects) == ([("f1", Outcome.FAILED, "job-unproven")], [])
