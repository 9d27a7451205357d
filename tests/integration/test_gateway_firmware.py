"""Firmware through gateways on a real Kafka, into a meter that nobody here wrote, over a line that breaks, past kills."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.ids import event_id
from schemas.records import Alarm, CampaignStop, CommandIntent, Job, JobResult, Meter, Outcome, SessionFrames
from schemas.signatures import digest
from tests.integration.firmware_rig import (
    NEW,
    OLD,
    BadLine,
    GuruxImages,
    campaign,
    gurux_images,
    image_of,
    put_image,
    takes_images,
    templates_in,
)
from tests.integration.gateway_bench import Cluster, GatewayProcess, Tap, open_cluster
from tests.integration.relay_meters import Desk, now_ms

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

RUN = uuid.uuid4().hex[:6]


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture(scope="module")
def desk(cluster: Cluster) -> Desk:
    return Desk.staffed(cluster, f"env-{RUN}")


@pytest.fixture
def meter() -> Iterator[GuruxImages]:
    with gurux_images() as meter:
        yield meter


def settings_of(desk: Desk, folder: Path) -> dict[str, str]:
    """A gateway's, with templates of their own in a folder."""
    return desk.settings | {
        "HES_GATEWAY__TEMPLATES_DIR": templates_in(folder),
        "HES_GATEWAY__RETRY_FIRST_S": "0.2",
        "HES_KAFKA__INSTANCE_ID": "same",
    }


@pytest.fixture
def gateways(cluster: Cluster, desk: Desk, tmp_path: Path) -> Iterator[Callable[[], GatewayProcess]]:
    """Gateways one after the other, of one group and one place in it, as an orchestrator replaces them."""
    settings = settings_of(desk, tmp_path)
    made: list[GatewayProcess] = []

    def another() -> GatewayProcess:
        gateway = GatewayProcess(cluster, tmp_path, dict(settings))
        if made:
            gateway.suffix = made[0].suffix
        else:
            gateway.keys({})
            gateway.skip_old_jobs()
        made.append(gateway)
        gateway.start()
        return gateway

    yield another
    for gateway in made:
        gateway.kill()


@pytest.fixture(scope="module")
def steady(
    cluster: Cluster, desk: Desk, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[GuruxImages, GuruxImages]]:
    """Two meters, and a gateway that nobody kills."""
    folder = tmp_path_factory.mktemp("steady")
    gateway = GatewayProcess(cluster, folder, settings_of(desk, folder))
    gateway.keys({})
    gateway.skip_old_jobs()
    with gurux_images() as one, gurux_images() as other:
        gateway.start()
        yield one, other
        gateway.kill()


def bring(
    meter: GuruxImages, gateways: Callable[[], GatewayProcess], desk: Desk, data: bytes, kills: int, between: tuple[int, int]
) -> tuple[JobResult, Tap, BadLine]:
    """The image through as many gateways as it takes."""
    name = f"f{len(data)}-{RUN}"
    line = BadLine(meter.port, seed=len(data), between=between, delay_s=0.001)
    tap = Tap(desk.cluster, "hes.events.urgent", "hes.intents", "hes.frames")
    try:
        desk.cluster.put_meters([takes_images(name, line.port)])
        image = put_image(desk, data)
        gateway = gateways()
        desk.cluster.put_jobs(campaign(desk, image, [name]))
        count = -(-len(data) // 512)
        for number in range(kills):
            meter.wait(lambda n=number: len(meter.said("block")) > count * (n + 1) // (kills + 2), "blocks")  # type: ignore[misc]  # of a lambda with a default
            gateway.kill()
            gateway = gateways()
        tap.until(lambda: any(result.meter_id == name for result in tap.of(JobResult)), "a result")
        return next(result for result in tap.of(JobResult) if result.meter_id == name), tap, line
    finally:
        line.close()


def check(meter: GuruxImages, data: bytes, result: JobResult, tap: Tap) -> None:
    digest, count = hashlib.sha256(data).hexdigest(), -(-len(data) // 512)
    assert (result.outcome, result.before, result.after) == (Outcome.DONE, OLD, NEW), result
    assert meter.said("activated") == [[digest, str(len(data))]]
    assert meter.said("initiated") == [[f"FW-{NEW}", str(len(data))]]  # once: every break was resumed
    assert {int(number) for (number,) in meter.said("block")} == set(range(count))
    assert len(meter.said("lost")) == count // 50
    kept = [intent for intent in tap.of(CommandIntent) if intent.meter_id == result.meter_id]
    assert [intent.code for intent in kept] == ["initiated", "ordered", "settled"]
    octets = sum(len(frame.data) for part in tap.of(SessionFrames) for frame in part.frames)
    assert octets < len(data) / 4  # blocks are counted, not kept


def test_blocks_lost_lines_cut_and_a_worker_killed(
    meter: GuruxImages, gateways: Callable[[], GatewayProcess], desk: Desk
) -> None:
    data = image_of(80_000)
    result, tap, line = bring(meter, gateways, desk, data, kills=1, between=(10_000, 50_000))
    check(meter, data, result, tap)
    assert line.cuts >= 1
    tap.close()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_half_a_megabyte_and_many_kills(
    seed: int, meter: GuruxImages, gateways: Callable[[], GatewayProcess], desk: Desk
) -> None:
    data = image_of(500_000 + seed)
    result, tap, line = bring(meter, gateways, desk, data, kills=4, between=(10_000, 150_000))
    check(meter, data, result, tap)
    assert line.cuts >= 3
    tap.close()


def test_a_stop_of_its_campaign_reaches_the_gateway_and_what_is_sent_after_it_goes_on(
    steady: tuple[GuruxImages, GuruxImages], desk: Desk
) -> None:
    meter, other = steady
    data, names = image_of(40_000), [f"h{number}-{RUN}" for number in range(2)]
    line = BadLine(meter.port, seed=1, between=(1 << 30, 1 << 30), delay_s=0.1)
    tap = Tap(desk.cluster, "hes.events.urgent", "hes.meters")
    try:
        desk.cluster.put_meters(
            [takes_images(name, port) for name, port in zip(names, (line.port, other.port), strict=True)]
        )
        image = put_image(desk, data)
        under_way, to_come = campaign(desk, image, names)
        desk.cluster.put_jobs([under_way])
        meter.wait(lambda: len(meter.said("block")) > 5, "blocks")
        to_come = replace(to_come, not_before=now_ms() + 8_000)
        desk.cluster.put_jobs([to_come])
        stop = CampaignStop(under_way.caused_by, now_ms(), code="campaign-paused", environment=desk.environment)
        desk.cluster.put("hes.campaign-stops", stop.id, desk.codec.encode(stop))
        tap.until(lambda: {result.meter_id for result in tap.of(JobResult)} >= set(names), "results")
        ended = {result.meter_id: result for result in tap.of(JobResult)}
        assert {(result.outcome, result.code) for result in ended.values()} == {(Outcome.CANCELLED, "campaign-halted")}
        stopped = len(meter.said("block"))
        assert f"{stopped} of {-(-len(data) // 512)} blocks are in the meter" in ended[names[0]].detail
        assert (other.said("connected"), meter.said("activated")) == ([], [])  # of this test alone: see `steady`

        again = [
            replace(job, id=event_id("Job", job.caused_by, digest(job.request), job.meter_id, 2), attempt=2,
                    issued_at=max(now_ms(), stop.at + 1), not_before=None)
            for job in (under_way, to_come)
        ]  # fmt: skip
        line.delay_s = 0.001
        desk.cluster.put_jobs(again)
        tap.until(lambda: len([one for one in tap.of(JobResult) if one.outcome is Outcome.DONE]) == 2, "the rest")
        assert [len(one.said("initiated")) for one in (meter, other)] == [1, 1]
        assert meter.said("activated") == other.said("activated") == [[hashlib.sha256(data).hexdigest(), str(len(data))]]
        tap.until(lambda: told(tap) >= {(name, NEW) for name in names}, "the new versions on hes.meters")
    finally:
        line.close()
        tap.close()


def told(tap: Tap) -> set[tuple[str, str]]:
    """The versions that hes.meters has from the meters themselves."""
    return {(one.id, one.firmware) for one in tap.of(Meter) if one.firmware_at}


def test_what_is_forged_or_altered_or_not_approved_reaches_no_meter(
    steady: tuple[GuruxImages, GuruxImages], desk: Desk
) -> None:
    meter, before = steady[0], len(steady[0].said("connected"))
    data = image_of(5_000)
    forged = put_image(desk, image_of(5_001), by="intern")
    image, names = put_image(desk, data), [f"n{number}-{RUN}" for number in range(5)]
    meters = [takes_images(name, meter.port) for name in names]
    desk.cluster.put_meters([*meters[:4], replace(meters[4], model="Other")])
    tap = Tap(desk.cluster, "hes.events.urgent")
    good = campaign(desk, image, names)
    jobs: dict[str, Job] = {
        "decision-missing": replace(good[0], decisions=()),
        "job-other": replace(good[1], parameters=good[1].parameters | {"downgrade": "yes"}),
        "image-missing": campaign(desk, forged, [names[2]])[0],
        "job-unproven": replace(good[3], request=b"", decisions=()),
        "firmware-unfit": good[4],
    }
    desk.cluster.put_jobs(jobs.values())
    tap.until(lambda: len([r for r in tap.of(JobResult) if r.meter_id in names]) == len(jobs), "results")
    found = {result.meter_id: result.code for result in tap.of(JobResult)}
    assert [found[job.meter_id] for job in jobs.values()] == list(jobs)
    alarmed = {alarm.meter_id for alarm in tap.of(Alarm) if alarm.code == "command-forged"}
    assert alarmed >= {jobs[code].meter_id for code in ("decision-missing", "job-other", "job-unproven")}
    assert len(meter.said("connected")) == before
    tap.close()
