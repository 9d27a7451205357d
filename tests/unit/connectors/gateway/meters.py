"""A meter that answers what a test has it hold, and a transport that connects a link to it without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from connectors.gateway.addresses import Address
from connectors.gateway.session import MeterLink
from connectors.protocols.dlms.cosem import obis_bytes
from tests.unit.connectors.gateway.builders import wrapped

# An AARE that accepts, as IEC 62056-5-3, annex D prints it, here with the services get and selective access only.
AARE = bytes.fromhex("6129A109060760857405080101A203020100A305A103020100BE10040E0800065F1F040000001404B00007")
REFUSED = bytes.fromhex("6117A109060760857405080101A203020101A305A10302010D")
RLRE = bytes.fromhex("6300")
CLOCK = "8/0.0.1.0.0.255/2"
CLOCK_AT = bytes.fromhex("090C07E7040106" + "0E302F00" + "8000FF")
PASSWORD = b"12345678"


@dataclass
class ScriptedMeter:
    """Attributes by class/OBIS/attribute, A-XDR encoded. What it lacks is object-undefined."""

    holds: dict[str, bytes] = field(default_factory=lambda: {CLOCK: CLOCK_AT})
    password: bytes | None = None
    silent_after: int = 1_000_000
    closes_after: int = 1_000_000
    unasked: bytes = b""
    asked: list[str] = field(default_factory=list)
    associations: int = 0
    requests: int = 0
    asker: int = 0
    """The client that asks."""

    def answer(self, apdu: bytes) -> bytes:
        """The APDU that answers another."""
        if apdu[0] == 0x60:
            self.associations += 1
            given = None if b"\xac" not in apdu else apdu[apdu.index(b"\xac") + 4 :][: len(self.password or b"")]
            return AARE if given == self.password else REFUSED
        if apdu[0] == 0x62:
            return RLRE
        assert apdu[:2] == b"\xc0\x01", apdu.hex()
        name = f"{int.from_bytes(apdu[3:5])}/{'.'.join(str(octet) for octet in apdu[5:11])}/{apdu[11]}"
        assert obis_bytes(name.split("/")[1]) == apdu[5:11]
        self.asked.append(name)
        head = b"\xc4\x01" + apdu[2:3]
        return head + (b"\0" + self.holds[name] if name in self.holds else b"\x01\x04")


class Wire:
    """The transport between a link and a meter."""

    def __init__(self, link: MeterLink, meter: ScriptedMeter) -> None:
        self._link = link
        self._meter = meter
        self._open = True
        self.sent: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.sent.append(data)
        meter, loop = self._meter, asyncio.get_running_loop()
        meter.requests += 1
        if data[8:9] == b"\x10" or meter.requests > meter.silent_after:
            return
        if meter.requests > meter.closes_after:
            loop.call_soon(self.close)
            return
        meter.asker = int.from_bytes(data[2:4])
        answer = meter.answer(data[8:])
        if not answer:  # it hangs up
            loop.call_soon(self.close)
            return
        reply = wrapped(answer, 1, meter.asker)
        loop.call_soon(self._back, (meter.unasked + reply) if meter.requests == 2 else reply)

    def _back(self, data: bytes) -> None:
        if self._open:
            self._link.data_received(data)

    def close(self) -> None:
        if self._open:
            self._open = False
            asyncio.get_running_loop().call_soon(self._link.connection_lost, None)

    abort = close


@dataclass
class Network:
    """What `connect` reaches: meters by port, or what goes wrong there."""

    meters: dict[int, ScriptedMeter | Exception]
    connects: list[int] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)

    async def connect(self, factory: Callable[[], MeterLink], address: Address) -> None:
        port = address.port
        self.connects.append(port)
        await asyncio.sleep(0)
        there = self.meters[port]
        if isinstance(there, Exception):
            raise there
        link = factory()
        wire = Wire(link, there)
        self.wires.append(wire)
        link.connection_made(cast("Any", wire))
