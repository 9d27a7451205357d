"""gurux.dlms for Java as a meter in a process of its own: it shares no line with us, nor with gurux' Python port.

Needs a JDK and Maven; `tests/peers/gurux` says what the meter holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from connectors.protocols.dlms.meter_keys import MeterKeys
from tests.integration.java_peer import java
from tests.unit.connectors.protocols.dlms.secure_meter import CurvePair

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


@contextmanager
def running(*kinds: str) -> Iterator[Peer]:
    """A meter of each kind, until the block ends."""
    signing, agreement = CurvePair(1), CurvePair(1)
    with java("gurux", "peer.Meter", signing.point.hex(), agreement.point.hex(), *kinds) as meter:
        assert meter.stdout is not None
        first, second, *ports = meter.stdout.readline().split()
        points = bytes.fromhex(first), bytes.fromhex(second)
        yield Peer(dict(zip(kinds, map(int, ports), strict=True)), signing, agreement, points)
