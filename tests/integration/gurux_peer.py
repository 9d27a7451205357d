"""gurux.dlms for Java as a meter in a process of its own: it shares no line with us, nor with gurux' Python port.

Needs a JDK and Maven; `tests/peers/gurux` says what the meter holds.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from connectors.protocols.dlms.meter_keys import MeterKeys
from tests.unit.connectors.protocols.dlms.secure_meter import CurvePair

PROJECT = Path(__file__).resolve().parents[1] / "peers" / "gurux"
SERIAL, ENERGY, LONG = "1/0.0.96.1.0.255/2", "3/1.0.1.8.0.255/2", "1/0.0.96.1.9.255/2"
PASSWORD = b"Passw0rd"
TITLE = b"MTR\0\0\0\0\2"


@dataclass(frozen=True)
class Peer:
    """Ports by the kind of meter there: ln or sn, the suite, and s where it signs."""

    ports: dict[str, int]
    signing: CurvePair
    agreement: CurvePair
    points: tuple[bytes, bytes]
    """The meter's public keys, for signatures and key agreement."""

    def keys(self, suite: int) -> MeterKeys:
        """All that a key store holds about this meter."""
        size = 32 if suite == 2 else 16
        ek, ak = bytes(range(size)), bytes(range(0xD0, 0xD0 + size))
        return MeterKeys(
            ek, ak, PASSWORD, signing=self.signing.octets, agreement=self.agreement.octets,
            meter_signing=self.points[0], meter_agreement=self.points[1],
        )  # fmt: skip


def build() -> Path:
    """The folder with the peer's classes and jars; built once for each version of its sources."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is absent: gurux.dlms for Java needs a JDK and Maven")
    sources = sorted(path for path in PROJECT.rglob("*") if path.suffix in {".xml", ".java"})
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "hes" / "test-peers" / f"gurux-{digest}"
    if not (folder / "built").exists():
        command = ["mvn", "-q", "-B", f"-Dpeer.build={folder}", "compiler:compile", "dependency:copy-dependencies"]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            if "Could not transfer artifact" in done.stdout + done.stderr or "offline" in done.stdout + done.stderr:
                pytest.skip("Maven cannot reach its repository, and gurux.dlms is not in the local one")
            pytest.fail(f"the gurux peer does not build:\n{done.stdout}{done.stderr}")
        (folder / "built").touch()
    return folder


@contextmanager
def running(*kinds: str) -> Iterator[Peer]:
    """A meter of each kind, until the block ends."""
    folder = build()
    signing, agreement = CurvePair(1), CurvePair(1)
    classpath = os.pathsep.join((str(folder / "classes"), str(folder / "lib" / "*")))
    command = ["java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", classpath, "peer.Meter"]
    arguments = [signing.point.hex(), agreement.point.hex(), *kinds]
    with subprocess.Popen(
        command + arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as meter:
        try:
            assert meter.stdout is not None
            first, second, *ports = meter.stdout.readline().decode().split()
            points = bytes.fromhex(first), bytes.fromhex(second)
            yield Peer(dict(zip(kinds, map(int, ports), strict=True)), signing, agreement, points)
        finally:
            assert meter.stdin is not None
            meter.stdin.close()
            try:
                meter.wait(10)
            except subprocess.TimeoutExpired:
                meter.kill()
