"""HDLC on TCP, as a gateway process speaks it with gurux-dlms' server: read, asked again, frames kept, pushes taken."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gurux_dlms.enums import DataType

from connectors.gateway.keystore import MeterKeys
from connectors.protocols.dlms.framing import hdlc
from connectors.protocols.dlms.framing.hdlc import DISC, POLL, SNRM, UI
from connectors.protocols.dlms.hdlc_frames import Frames
from connectors.protocols.dlms.hdlc_parameters import Parameters
from schemas.records import (
    Direction,
    Identity,
    IdentityKind,
    Job,
    JobResult,
    Meter,
    MeterState,
    Operation,
    Outcome,
    Priority,
    RegisterReadings,
    SessionFrames,
    Transport,
)
from tests.integration.gateway_bench import Cluster, Tap, open_cluster, running
from tests.integration.probe_meters import listening
from tests.unit.connectors.gateway.builders import reading
from tests.unit.connectors.protocols.dlms.gurux_meter import data
from tests.unit.connectors.protocols.dlms.hdlc_meter import HdlcMeter
from tests.unit.connectors.protocols.dlms.hdlc_octets import CLIENT, SERVER

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

RUN = uuid.uuid4().hex[:6]
NAME = "0.0.96.1.0.255"
LONG = bytes(65 + i % 26 for i in range(500))
PASSWORD = b"a secret of more than one frame of sixty-four octets, and a bit more"
TEMPLATE = """
extends: generic
pull: {transport: HDLC, client: 16, server: 1, auth: low, hdlc_information: 64}
"""


@pytest.fixture(scope="module")
def cluster(kafka: str, registry_url: str) -> Cluster:
    return open_cluster(kafka, registry_url)


@pytest.fixture
def tap(cluster: Cluster) -> Iterator[Tap]:
    tap = Tap(cluster, "hes.events.urgent", "hes.events.bulk", "hes.frames")
    yield tap
    tap.close()


def line(octets_of: Callable[[bytes], bytes], loses: frozenset[int], says: dict[int, bytes]) -> Any:
    """A connection on which the answers with these numbers are lost, and others follow what the meter says unasked.

    gurux' server has no answer for a frame that it had before; a meter says again what it said.
    """
    count, last = 0, (b"", b"")

    def serve(connection: socket.socket) -> None:
        nonlocal count, last
        frames = Frames(5.0)
        while octets := connection.recv(65536):
            for frame in frames.feed(octets, 0.0):
                if frame.octets != last[0]:
                    last = frame.octets, octets_of(frame.octets)
                count += 1
                if last[1] and count not in loses:
                    connection.sendall(says.get(count, b"") + last[1])

    return serve


def test_a_meter_on_hdlc(cluster: Cluster, tap: Tap, tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "bus.yaml").write_text(TEMPLATE)
    serial = f"S{RUN}"
    there = HdlcMeter(Parameters(64, 64, 1, 1), [data(NAME, LONG, DataType.OCTET_STRING)])
    there.password = PASSWORD
    pushed = hdlc.frame(CLIENT, SERVER, UI | POLL, hdlc.LLC_FROM_SERVER + reading(serial))
    with listening(line(there.octets, frozenset({1, 9}), {7: pushed})) as port:
        meter = Meter(
            id=f"bus-{RUN}",
            endpoint=f"tcp://127.0.0.1:{port}",
            template="bus",
            key_ref="bus",
            identities=(Identity(IdentityKind.SERIAL, serial),),
            state=MeterState.NORMAL,
        )
        cluster.put_meters([meter])
        now = int(time.time() * 1000)
        job = Job(
            id=f"read-{RUN}",
            meter_id=meter.id,
            operation=Operation.READ_REGISTERS,
            objects=(f"1/{NAME}/2",),
            priority=Priority.ON_DEMAND,
            issued_at=now,
            deadline=now + 60_000,
        )
        keys = {"bus": MeterKeys(password=PASSWORD)}
        with running(cluster, tmp_path, keys, templates_dir=str(templates), answer_timeout_s="6") as gateway:
            cluster.put_jobs([job], "hes.jobs.urgent")
            tap.until(lambda: bool(tap.of(JobResult) and tap.of(SessionFrames)), "the result and its frames")
            tap.until(lambda: len(tap.of(RegisterReadings)) > 1, "what was read and what was pushed")
            assert gateway.terminate() == 0
        tap.look()
    (result,) = tap.of(JobResult)
    assert (result.outcome, result.code) == (Outcome.DONE, "")
    read = next(item for item in tap.of(RegisterReadings) if item.job_id == job.id)
    assert read.registers[0].value == LONG.decode()
    assert any(item.meter_id == meter.id and not item.job_id for item in tap.of(RegisterReadings))
    kept = [part for part in tap.of(SessionFrames) if part.job_id == job.id]  # of one try, unless the machine is busy
    assert {part.transport for part in kept} == {Transport.HDLC}
    frames_kept = [item for part in kept for item in part.frames]
    sent = [item.data for item in frames_kept if item.direction is Direction.TO_METER]
    controls = [frame.control & ~POLL for octets in sent for frame in Frames(1.0).feed(octets, 0.0)]
    assert (controls[0], controls[1], controls[-1]) == (SNRM, SNRM, DISC)  # the first was not answered
    whole = b"".join(item.data for item in frames_kept)
    assert not [at for at in range(len(PASSWORD) - 5) if PASSWORD[at : at + 6] in whole]
