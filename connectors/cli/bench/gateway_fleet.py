"""The fleet that `hes bench gateway` reads, in a process of its own; its truth; and jDLMS as another reader of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from connectors.cli.bench.children import finish
from connectors.cli.bench.fleet import running_fleet
from connectors.cli.bench.java_peers import PEERS, build, command
from connectors.cli.failure import CommandError
from connectors.protocols.dlms.gaps import Gaps
from connectors.protocols.dlms.profile import Profile
from connectors.protocols.dlms.profile_columns import Values

_JVM = ("-Xmx512m", "-XX:+UseSerialGC")  # the collector that takes the least CPU for this


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What a meter of the own fleet holds."""

    port: int
    title: bytes
    ek: bytes = field(repr=False)
    ak: bytes = field(repr=False)
    scalers: tuple[int, ...]
    ends: bytes
    statuses: bytes
    values: tuple[Values, ...]

    def check(self, profile: Profile) -> None:
        """Raise ValueError where a profile is not what the meter holds, to the last value and scaler."""
        if profile.ends.tobytes() != self.ends:
            raise ValueError("the times read are not the meter's")
        if profile.statuses is None or profile.statuses.tobytes() != self.statuses:
            raise ValueError("the statuses read are not the meter's")
        for channel, scaler, values in zip(profile.channels, self.scalers, self.values, strict=True):
            found = channel.values
            same = (
                isinstance(values, np.ndarray) and found.tobytes() == values.tobytes()
                if isinstance(found, np.ndarray)
                else found == values
            )
            if not same or channel.scaler != scaler:
                raise ValueError(f"the values or the scaler of {channel.obis} are not the meter's")


def read_truth(path: Path) -> list[Truth]:
    """The file that the fleet writes; see `connectors.simulator.load`."""
    return [_truth(line) for line in path.read_text().splitlines()]


def _truth(line: str) -> Truth:
    head, *rows = line.split(" | ")
    port, title, ek, ak, *scalers = head.split(" ")
    cells = [row.split(",") for row in rows]
    columns: list[Values] = []
    for column in list(zip(*cells, strict=True))[2:]:
        numbers = tuple(None if cell == "-" else int(cell) for cell in column)
        columns.append(Gaps.of(numbers) if None in numbers else np.array(numbers, np.int64))
    ends, statuses = (np.array([int(row[i]) for row in cells], np.int64).tobytes() for i in (0, 1))
    return Truth(
        int(port), bytes.fromhex(title), bytes.fromhex(ek), bytes.fromhex(ak), tuple(map(int, scalers)), ends, statuses,
        tuple(columns),
    )  # fmt: skip


@contextmanager
def own_fleet(meters: int, block: int, say: Callable[[str], None]) -> Iterator[Path]:
    """A fleet in a process of its own; gives the truth file. Raises CommandError where it does not come up."""
    with running_fleet(meters, say, block=block) as fleet:
        yield fleet.file


def jdlms(truth: Path, auth: str, concurrency: int, warm: int, sessions: int, say: Callable[[str], None]) -> dict[str, Any]:
    """What a jDLMS client makes of the same fleet, its JVM warm: sessions, rows, failed, seconds, cpu_s."""
    folder = build("jdlms", say)
    say(f"jDLMS {_version()}: {warm:,} sessions to warm up, then {sessions:,}")
    line = [*command(folder, "peer.Reader", *_JVM), str(truth), auth, *map(str, (concurrency, warm, sessions))]
    done = finish(line)
    if done.returncode or not done.stdout.startswith("{"):
        raise CommandError(f"the jDLMS reader failed: {done.stderr.strip()[-300:] or done.stdout.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    say(f"jDLMS {_version()} ran on Java {found['java']}, {' '.join(_JVM)}")
    return found


def _version() -> str:
    found = re.search(r"<artifactId>jdlms</artifactId>\s*<version>([^<]+)<", (PEERS / "jdlms" / "pom.xml").read_text())
    return "" if found is None else found[1]
