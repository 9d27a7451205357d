"""Faults of every kind while meters push and are read, from a seed, and at the end every id accounted for:

    python -m tests.chaos.run --faults 100 --seed 7

Runs in a network and a mount namespace of its own where the system lets it, so that the network it slows down and the disks
it fills are nobody else's; without that it does so to neither, and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from connectors.cli.demo.play import Between, play
from connectors.cli.demo.reconcile import Truth
from connectors.cli.demo.stage import Scale, Stage
from connectors.cli.topics import decoded, read_topic
from connectors.local import artifacts
from connectors.local.home import Home
from schemas.records import Alarm, Record, RegisterReadings
from streams.runtime.settings import Settings
from tests.chaos.faults import SESSION_S, STUCK_S, Chaos, drawn, kinds, slow_down, small_disks, speed_up
from tests.chaos.trail import Ends, trails

# Meters that get no confirmation cannot know that a push was lost; that is their nature, not the head-end's.
# Nor can one be counted that a meter gave up: they go on until the head-end has taken everything. And none sends its octets
# one by one: what a fault cuts off of a push is a dead letter, and the push comes whole after it, so that it would be both.
FLEET = (
    "--unconfirmed-share",
    "0",
    "--noise-share",
    "0",
    "--push-every",
    "5",
    "--outage-every",
    "3",
    "--pace-share",
    "0",
    "--drain",
    "300",
)
ENVIRON = {
    "HES_KAFKA__SESSION_TIMEOUT_S": str(SESSION_S),
    "HES_HEALTH__STUCK_S": str(STUCK_S),
    # Few meters lose their supply again and again here; held back as flapping, as they should be, they could not be counted.
    "HES_OMS__FLAPS": "50",
}
_APART = "HES_CHAOS_APART"


def main() -> int:
    """One run; 0 where everything is accounted for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--meters", type=int, default=40)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two faults")
    parser.add_argument("--keep", type=Path, help="a folder for what the run leaves: logs, truth, Kafka's files")
    given = parser.parse_args()
    if _APART not in os.environ and (apart := _apart()):
        artifacts.ensure(Home.of().cache, _tell)  # from a network that the namespace does not have
        argv = [*apart, sys.executable, "-m", "tests.chaos.run", *sys.argv[1:]]
        return subprocess.run(argv, env=os.environ | {_APART: "1"}, check=False).returncode
    summary = run(given.faults, given.seed, given.meters, given.every, given.keep)
    sys.stdout.write(json.dumps(summary) + "\n")
    return 0 if summary["reconciled"] and not summary["out_of_order"] else 1


def run(faults: int, seed: int, meters: int, every_s: float, keep: Path | None = None) -> dict[str, Any]:
    """Everything started, hurt, healed, stopped and compared."""
    apart = _APART in os.environ
    if apart:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    network = apart and _slows()
    os.environ |= ENVIRON
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hes-chaos-") as folder:
        home = Home.of(Path(folder))
        disks = [home.data("clickhouse"), home.data("kafka")]
        plan = drawn(seed, faults, kinds(disk=apart, network=network))
        small, keeping = small_disks(disks) if apart else nullcontext(), _kept(home, keep) if keep else nullcontext()
        with small, keeping, Stage(Scale(meters, seed, FLEET), _tell, home=home) as stage:
            chaos = Chaos(stage, plan, every_s, _tell)
            with Ends() as ends:
                summary = play(stage, None, between=until_over(chaos, ends))
            ways = trails(stage.settings, Truth.read(stage.truth))
            order = out_of_order(stage.settings)
            done = dict(sorted(chaos.done.items()))
            restarted = dict(chaos.restarted)
    return asdict(summary) | {
        "reconciled": summary.reconciled,
        "out_of_order": order,
        "went_back": ends.went_back,
        "trails": {meter: str(way) for meter, way in ways.items()},
        "faults": sum(done.values()),
        "by_kind": done,
        "restarted": restarted,
        "seed": seed,
        "seconds": round(time.monotonic() - began),
        "left_out": ["full disk"] * (not apart) + ["slow network"] * (not network),
    }


@contextmanager
def _kept(home: Home, keep: Path) -> Iterator[None]:
    """Copy what a run leaves, however it ends: indexes of Kafka are sparse, and stay so."""
    try:
        yield
    finally:
        keep.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", "--sparse=always", f"{home.root}/.", str(keep)], check=False)


def until_over(chaos: Chaos, ends: Ends) -> Between:
    """Ends `play` as Ctrl-C does when the last fault is healed; goes on to start what ended."""
    told: list[bool] = []

    def between(passed: float) -> None:
        ends.watch(chaos.stage.settings.kafka)
        chaos.between(passed)
        if chaos.over and not told:
            told.append(True)
            raise KeyboardInterrupt

    return between


def out_of_order(given: Settings) -> list[str]:
    """Meters whose events stand behind split in another order than on their lane, each by where it came first."""
    found = []
    for lane, topics in LANES.items():
        before = _orders(given, (lane,))
        behind = _orders(given, topics)
        found += [meter for meter, ids in before.items() if ids != behind.get(meter)]
    return sorted(found)


LANES = {"hes.events.urgent": ("hes.alarms",), "hes.events.bulk": ("hes.readings.registers",)}


def _orders(given: Settings, topics: tuple[str, ...]) -> dict[str, list[str]]:
    orders: dict[str, dict[str, None]] = {}
    for topic in topics:
        for record in _records(given, topic):
            if isinstance(record, Alarm | RegisterReadings):
                orders.setdefault(record.meter_id, {})[record.id] = None
    return {meter: list(ids) for meter, ids in orders.items()}


def _records(given: Settings, topic: str) -> Iterator[Record]:
    for _, record in decoded(given, read_topic(given, topic)):
        if not isinstance(record, Exception):
            yield record


def _apart() -> list[str]:
    """How to run in namespaces of one's own; empty where the system does not let us."""
    if shutil.which("unshare") is None:
        return []
    argv = ["unshare", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--net", "--mount"]
    return argv if subprocess.run([*argv, "true"], capture_output=True, check=False).returncode == 0 else []


def _slows() -> bool:
    """Whether the loopback device can be slowed down."""
    if shutil.which("tc") is None or not slow_down():
        return False
    speed_up()
    return True


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
