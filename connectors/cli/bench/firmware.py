"""`hes bench firmware`: images through a whole gateway worker, from proven jobs on Kafka to images that meters verified.

Worker, broker and meters are processes of their own. A run without reads brings an image to each meter as fast as one worker
can, without any pace, in clear and ciphered: blocks a second, and CPU of the worker a block. A run beside reads has other
meters read at a steady rate, as schedules have them read, alone and then while images are on their way to 200 meters in
cells of NB-IoT, at the pace that the settings have: what reading keeps of its rate, how long a read takes, and what the
transfers take of a core.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from connectors.cli.bench.firmware_campaign import MODEL, VENDOR, Campaign
from connectors.cli.bench.fleet import running_fleet
from connectors.cli.bench.gateway_fleet import read_truth
from connectors.cli.bench.stack import bench_stack, service
from connectors.cli.bench.worker_rig import RESULTS, Place, Rig, Worker, meters_of, rig_on
from connectors.cli.failure import CommandError
from connectors.cli.shipment import Row
from connectors.cli.topics import Span, decoded, read_topic
from connectors.local.home import Home
from connectors.local.ports import free_port
from schemas.records import JobResult, Network, Outcome
from streams.runtime.settings import Settings

_READY_S = 120.0
_EVERY_S = 0.25
_A_CELL = 4
"""Transfers at once in a cell, as the settings have it."""
_FREELY = {"HES_GATEWAY__TRANSFER_OCTETS_PER_S": "1000000000"}


@dataclass(frozen=True, slots=True)
class Options:
    """What to bring, and to how many."""

    meters: int = 20
    size: int = 500_000
    block: int = 512
    auths: tuple[str, ...] = ("none", "gmac")
    beside_reads: bool = False
    rate: float = 100.0
    """Reads a second."""
    seconds: float = 20.0
    """Of each turn."""
    readers: int = 1_000
    """Meters that are read."""


def run(options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """A row for each association, or for each turn. Raises CommandError where something cannot be had, or is wrong."""
    with bench_stack(say) as (settings, home):
        yield from run_on(settings, home, options, say)


def run_on(settings: Settings, home: Home, options: Options, say: Callable[[str], None]) -> Iterator[dict[str, object]]:
    """The same on a stack that runs."""
    if options.beside_reads:
        yield from _beside_reads(settings, home, options, say)
    else:
        for auth in options.auths:
            yield _alone(settings, home, options, auth, say)


def _alone(settings: Settings, home: Home, options: Options, auth: str, say: Callable[[str], None]) -> dict[str, object]:
    rig = rig_on(settings, home)
    campaign = Campaign(rig, options.size)
    with running_fleet(options.meters, say, image_block=options.block) as fleet:
        rows = _taking(f"{auth}-", meters_of(read_truth(fleet.file), auth))
        rig.put_meters(rows.values())
        campaign.prepare()
        with _worker(rig, campaign, _FREELY) as worker:
            say(f"an image of {options.size:,} octets to {options.meters} meters, association {auth}")
            worker.wait(rig.ended())
            before, began, ended = _cpu(worker), time.perf_counter(), rig.ended() + options.meters
            since = rig.offsets()[RESULTS]
            jobs = campaign.send(list(rows), deadline_s=7_200)
            seconds = worker.wait(ended) - began
            cpu, loop = (now - was for now, was in zip(_cpu(worker), before, strict=True))
        results = _results(rig, since, jobs)
        fleet.end()
        whole = fleet.images.get(campaign.image, 0)
    bad = [result for result in results if result.outcome is not Outcome.DONE]
    if bad or whole != options.meters:
        detail = f"; the first that failed: {bad[0].code}: {bad[0].detail}" if bad else ""
        raise CommandError(f"{whole} of {options.meters} meters verified the image{detail}")
    blocks = sum(result.rows for result in results)
    return {
        "association": auth,
        "meters": options.meters,
        "block_octets": options.block,
        "blocks": blocks,
        "verified": whole,
        "seconds": round(seconds, 2),
        "blocks_per_s": round(blocks / seconds),
        "octets_per_s": round(options.size * options.meters / seconds),
        "cpu_ms_a_block": round(1000 * cpu / blocks, 4),
        "loop_cpu_ms_a_block": round(1000 * loop / blocks, 4),
        "blocks_per_cpu_s": round(blocks / cpu),
        "load": round(os.getloadavg()[0], 1),
    }


def _beside_reads(
    settings: Settings, home: Home, options: Options, say: Callable[[str], None]
) -> Iterator[dict[str, object]]:
    """Turns without and with transfers under way."""
    rig = rig_on(settings, home)
    campaign = Campaign(rig, options.size)
    with (
        running_fleet(options.readers, say) as readers,
        running_fleet(options.meters, say, image_block=options.block) as takers,
    ):
        read = meters_of(read_truth(readers.file), "none")
        cells = meters_of(read_truth(takers.file), "none", lambda number: Place(f"cell-{number // _A_CELL}", Network.NB_IOT))
        taking = _taking("fw-", cells)
        rig.put_meters([*read.values(), *taking.values()])
        campaign.prepare()
        with _worker(rig, campaign, {}) as worker:
            say(f"warming up: {len(read):,} meters")
            worker.warm_up(list(read), len(read))
            worker.warm_up(list(read), len(read))
            alone = _turn(rig, worker, list(read), options)
            yield {"turn": "reads alone", **alone}
            jobs = campaign.send(list(taking), deadline_s=7_200)
            say(f"waiting for {len(taking)} transfers to be under way")
            _until_under_way(worker, len(taking))
            since = rig.offsets()[RESULTS]
            beside = _turn(rig, worker, list(read), options)
            ended = _results(rig, since, jobs)
            yield {
                "turn": "beside transfers",
                **beside,
                "transfers": len(taking) - len(ended),
                "transfers_ended": len(ended),
                "kept": round(beside["reads_per_s"] / alone["reads_per_s"], 3),
                "transfers_of_a_core": round(beside["loop_cpu_a_s"] - alone["loop_cpu_a_s"], 4),
            }


def _turn(rig: Rig, worker: Worker, meters: list[str], options: Options) -> dict[str, float]:
    """Reads at a steady rate for a while, until the last has ended."""
    since, ids, first, sent = rig.offsets()[RESULTS], set[str](), rig.ended(), 0
    began, before = time.perf_counter(), _cpu(worker)
    while (passed := time.perf_counter() - began) < options.seconds:
        due = int(passed * options.rate) - sent
        if due > 0:
            ids |= rig.put_jobs([meters[(sent + number) % len(meters)] for number in range(due)])
            sent += due
        time.sleep(_EVERY_S)
    wall = worker.wait(first + sent) - began
    _, loop = (now - was for now, was in zip(_cpu(worker), before, strict=True))
    results = _results(rig, since, ids)
    took = sorted(result.finished_at - result.issued_at for result in results if result.outcome is Outcome.DONE)
    return {
        "reads": len(took),
        "failed": sent - len(took),
        "reads_per_s": round(len(took) / wall, 1),
        "p50_ms": took[len(took) // 2] if took else 0,
        "p95_ms": took[len(took) * 95 // 100] if took else 0,
        "loop_cpu_a_s": round(loop / wall, 4),
        "load": round(os.getloadavg()[0], 1),
    }


def _until_under_way(worker: Worker, transfers: int) -> None:
    until = time.monotonic() + _READY_S
    while worker.metric("hes_gateway_sessions") < transfers:
        if time.monotonic() > until:
            raise CommandError(f"{worker.metric('hes_sessions'):.0f} of {transfers} transfers began in {_READY_S:.0f} s")
        time.sleep(0.2)


def _taking(prefix: str, rows: Mapping[str, Row]) -> dict[str, Row]:
    """The meters under names of their own, of the maker and model that the image is for."""
    found = {}
    for row in rows.values():
        name = prefix + row.meter.id
        meter = replace(row.meter, id=name, key_ref=name, vendor=VENDOR, model=MODEL)
        found[name] = replace(row, meter=meter)
    return found


def _results(rig: Rig, since: Mapping[int, int], jobs: set[str]) -> list[JobResult]:
    topic = decoded(rig.settings, read_topic(rig.settings, RESULTS, Span(offsets=since)))
    return [record for _, record in topic if isinstance(record, JobResult) and record.job_id in jobs]


def _cpu(worker: Worker) -> tuple[float, float]:
    return worker.cpu(), worker.loop_cpu()


@contextmanager
def _worker(rig: Rig, campaign: Campaign, more: Mapping[str, str]) -> Iterator[Worker]:
    """`hes run gateway` that believes the campaign's people."""
    port = free_port()
    environ = {
        "HES_GATEWAY__TCP_PORT": str(port),
        "HES_GATEWAY__UDP_PORT": "0",
        "HES_GATEWAY__TEMPLATES_DIR": str(rig.templates),
        "HES_LOG__LEVEL": "warning",
        "HES_KAFKA__GROUP_SUFFIX": rig.settings.kafka.group_suffix,
    }
    with service("gateway", rig.settings, rig.home, environ | campaign.environ | dict(more)) as child:
        running, until = Worker(child, rig, port), time.monotonic() + _READY_S
        while child.get("/health/ready") is None:
            if time.monotonic() > until:
                raise CommandError("the gateway does not get ready; its log is in the bench's home")
            running.pid  # noqa: B018 - raises where it has ended
            time.sleep(0.05)
        yield running
