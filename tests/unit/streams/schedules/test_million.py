"""A million meters, planned by a process of its own so that its memory is its own: a minute and 2 GB."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

PLAN = """
import json, resource, time
import numpy as np
from schemas.codec import Codec
from schemas.records import Meter, MeterState, Network, PlanSlice
from schemas.registry import MemoryRegistry
from streams.runtime.meters import MeterDirectory
from streams.runtime.settings import Gateway, Schedules
from streams.schedules.due import Due
from streams.schedules.plan import plan
from streams.schedules.service import rate_of
from tests.unit.streams.schedules.world import ms, schedule

directory = MeterDirectory()
networks = [Network.PLC_G3, Network.PLC_PRIME, Network.NB_IOT, Network.RF_MESH]
for number in range(1_000_000):
    transformer = number // 50
    segment = transformer // 4
    place = {"segment": f"dc-{segment}", "transformer": f"t{transformer}", "network": networks[segment % 4]}
    directory.apply(f"LGZ1030{number:09d}", Meter(state=MeterState.NORMAL, **place), number % 12)
at = ms("2026-06-01T04:00")
began = time.monotonic()
rate = rate_of(Gateway())
made = plan(schedule(), Due(at, at - 14_400_000), directory, rate, Schedules(), now=at, next_at=at + 14_400_000)
planned = time.monotonic() - began
codec = Codec(MemoryRegistry())
octets = [len(codec.encode(piece)) for piece in made.slices]
seconds = np.zeros(20_000, np.int64)
by_segment = {}
for piece in made.slices:
    for name, offset in zip(piece.meters, piece.offsets):
        second = (piece.first_at + offset - at) // 1_000
        seconds[second] += 1
        by_segment.setdefault(int(name[7:]) // 200, []).append(piece.first_at + offset)
gaps = [min(b - a for a, b in zip(times, times[1:])) for times in map(sorted, by_segment.values())]
print(json.dumps({
    "planned_s": planned, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "meters": int(seconds.sum()), "most": int(seconds.max()), "share": 1_000_000 / 10_800, "unplaced": made.tick.unplaced,
    "largest": max(octets), "least_gap_ms": min(gaps),
}))
"""


def test_a_million_meters_are_planned_within_a_minute_and_two_gigabytes() -> None:
    done = subprocess.run([sys.executable, "-c", PLAN], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["planned_s"] < 60
    assert found["mb"] < 2_000
    assert (found["meters"], found["unplaced"]) == (1_000_000, 0)
    assert found["most"] <= 1.2 * found["share"]
    assert found["least_gap_ms"] >= 1_000 / (4 * 0.7)  # no network of these is set to more than four starts a second
    assert found["largest"] < 1_000_000  # a record's limit
