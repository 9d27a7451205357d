"""The gateway's half of `hes bench pipeline`, from frames on: a day's load profile of each of very many meters, as answers
to GET, decoded, encoded and written as a gateway worker does it, a hundred visits at a time. Sockets and sessions are left
out: `hes bench worker` measures those.

A process of its own: `python -m connectors.cli.bench.pipeline_day --meters N --channels C` prints JSON lines: what it has
written so far, with the CPU seconds of the process (`cpu`) and of them those for playing the meters (`play`); and of one
meter in so many (`--mark`), when its frames were taken (`mark`, `at`).
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from connectors.cli import context
from connectors.gateway.drivers.dlms_order import DlmsOrder
from connectors.gateway.drivers.dlms_profiles import profile_readings
from connectors.gateway.drivers.dlms_shapes import Shapes
from connectors.gateway.emit import TOPICS, lanes_of
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.framing.wrapper import pack
from connectors.protocols.dlms.profile_batch import parse_profiles
from connectors.protocols.dlms.profile_shape import Column, ProfileShape
from connectors.protocols.dlms.template import Template
from schemas.codec import Codec
from schemas.ids import event_id
from schemas.records import (
    Cause,
    Direction,
    Frame,
    IntervalReadings,
    Job,
    Meter,
    Operation,
    Protocol,
    SessionFrames,
    SessionKind,
    Transport,
)
from streams.runtime.kafka import Publisher
from streams.runtime.tracing import child_of, headers_of

ROWS, PERIOD_S = 96, 900
FIRST_END = datetime(2026, 3, 1, 0, 15, tzinfo=UTC)
NOISE = 500
"""Each interval adds less than so many Wh, evenly distributed."""
TOGETHER = 100
"""Visits that a worker finishes together."""
_REPORT_S = 0.5
_ANSWER = bytes.fromhex("C401C100")  # get-response-normal, data
_ROW_HEAD, _STATUS = 16, b"\x11\x00"


def meter_id(number: int) -> str:
    """The name of a meter of the bench."""
    return f"bench-{number:08d}"


def shape_of(channels: int) -> ProfileShape:
    """What the meters capture: clock, status and cumulative registers."""
    registers = (Column(3, f"1.0.{c}.8.0.255", 2, scaler=0, unit="Wh") for c in range(1, channels + 1))
    return ProfileShape(
        "1.0.99.1.0.255", (Column(8, "0.0.1.0.0.255", 2), Column(1, "0.0.96.10.1.255", 2), *registers), PERIOD_S
    )


class Answers:
    """The octets with which meters answer, many at a time: the same day, other values."""

    def __init__(self, channels: int, seed: int = 7) -> None:
        rows = [
            bytes((2, 2 + channels)) + b"\x09\x0c" + _date_time(FIRST_END + timedelta(seconds=PERIOD_S * row)) + _STATUS
            + b"\x06\0\0\0\0" * channels
            for row in range(ROWS)
        ]  # fmt: skip
        self._rows = np.frombuffer(b"".join(rows), np.uint8).reshape(ROWS, -1)
        self._channels = channels
        self._random = np.random.default_rng(seed)

    def take(self, meters: int) -> list[bytes]:
        """Buffers of so many meters."""
        steps = self._random.integers(0, NOISE, (meters, ROWS, self._channels), dtype=np.uint32)
        values = np.cumsum(steps, axis=1, dtype=np.uint32)
        values += self._random.integers(0, 10**8, (meters, 1, self._channels), dtype=np.uint32)
        buffers: NDArray[np.uint8] = np.repeat(self._rows[None], meters, axis=0)
        octets = values.astype(">u4").view(np.uint8).reshape(meters, ROWS, self._channels, 4)
        for channel in range(self._channels):
            at = _ROW_HEAD + len(_STATUS) + 5 * channel + 1
            buffers[:, :, at : at + 4] = octets[:, :, channel]
        head = bytes((1, ROWS))
        return [head + buffer.tobytes() for buffer in buffers]


class Gateway:
    """What a worker does with answers that it has in hand."""

    def __init__(self, codec: Codec, publisher: Publisher, channels: int, *, frames: bool) -> None:
        self._codec = codec
        self._publisher = publisher
        self._shape = shape_of(channels)
        self._template, self._shapes = Template("bench"), Shapes()
        self._frames = frames

    def finish(self, first: int, buffers: Sequence[bytes], at_ms: int) -> None:
        """Write the readings of meters from `first` on, and the frames they came in."""
        profiles = parse_profiles([(buffer, self._shape) for buffer in buffers])
        readings: list[IntervalReadings] = []
        for number, profile in enumerate(profiles, first):
            if isinstance(profile, DlmsError):
                raise profile
            meter = meter_id(number)
            job = Job(id=f"day-{meter}", meter_id=meter, operation=Operation.READ_PROFILE, cause=Cause.SCHEDULED)
            order = DlmsOrder(job, Meter(id=meter), self._template, UTC, lambda: at_ms, self._shapes)
            readings += profile_readings(profile, self._shape, order)
        frames = [self._kept(one.meter_id, buffer, at_ms) for one, buffer in zip(readings, buffers, strict=True)]
        traces = [child_of("") for _ in readings]
        batches: list[Sequence[SessionFrames | IntervalReadings]] = [frames, readings] if self._frames else [readings]
        for records in batches:
            for record, value, trace in zip(records, self._codec.encode_all(records), traces, strict=True):
                headers = headers_of(record, source="gateway", at_ms=at_ms, parent=trace)
                self._publisher.send(TOPICS[type(record)], record.meter_id, value, headers)

    def _kept(self, meter: str, buffer: bytes, at_ms: int) -> SessionFrames:
        frame = pack(1, 16, _ANSWER + buffer)
        return SessionFrames(
            id=event_id("SessionFrames", meter, at_ms),
            meter_id=meter,
            endpoint="tcp://192.0.2.1:4059",
            protocol=Protocol.DLMS,
            transport=Transport.WRAPPER,
            kind=SessionKind.PULL,
            job_id=f"day-{meter}",
            started_at=at_ms,
            ended_at=at_ms,
            frames=(Frame(Direction.FROM_METER, at_ms, frame),),
        )


def _date_time(at: datetime) -> bytes:
    return struct.pack(">HBBBBBBBhB", at.year, at.month, at.day, at.isoweekday(), at.hour, at.minute, 0, 0, 0, 0)


def _tell(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m connectors.cli.bench.pipeline_day", description="A day from frames on.")
    parser.add_argument("--meters", type=int, required=True)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--mark", type=int, default=1_000)
    parser.add_argument("--no-frames", action="store_true")
    given = parser.parse_args(argv)
    settings = context.settings()
    publisher = lanes_of(settings).bulk
    answers = Answers(given.channels)
    gateway = Gateway(context.codec(settings), publisher, given.channels, frames=not given.no_frames)
    play = 0.0
    told = time.monotonic()
    for first in range(0, given.meters, TOGETHER):
        some = min(TOGETHER, given.meters - first)
        began = time.thread_time()
        buffers = answers.take(some)
        made = time.thread_time()
        at_ms = int(time.time() * 1000)
        gateway.finish(first, buffers, at_ms)
        play += made - began
        for marked in range(first + -first % given.mark, first + some, given.mark):
            _tell({"mark": meter_id(marked), "at": at_ms})
        if time.monotonic() - told > _REPORT_S:
            told = time.monotonic()
            _tell({"sent": first + some, "play": play, "cpu": time.process_time(), "done": False})
    publisher.flush()
    _tell({"sent": given.meters, "play": play, "cpu": time.process_time(), "done": True})
    return 0


if __name__ == "__main__":
    sys.exit(main())
