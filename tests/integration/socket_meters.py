"""Meters on sockets of the test's own process: gurux' parser, ciphers and answers behind the wrapper, on TCP and UDP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gurux_dlms.enums import DataType

from connectors.protocols.dlms.framing.wrapper import Deframer, pack
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, data
from tests.unit.connectors.protocols.dlms.secure_meter import SecureMeter

EK, AK = bytes(range(16)), bytes(range(0xD0, 0xE0))
COUNTER, NAME = "0.0.43.1.0.255", "0.0.96.1.0.255"
PUBLIC = 16
TEMPLATE = f"""
extends: generic
pull:
  client: 1
  auth: hls-gmac
  security: both
  counter: {COUNTER}
"""


def write_templates(folder: Path) -> str:
    """The template `secure`, in a folder for gateway.templates_dir."""
    folder.mkdir(exist_ok=True)
    (folder / "secure.yaml").write_text(TEMPLATE)
    return str(folder)


class Counted(SecureMeter):
    """Notes each invocation counter under which somebody ciphered or proved something, be it believed or not."""

    used: list[int]

    def decipher(self, apdu: bytes) -> bytes:
        at = 1 if apdu[1] < 0x80 else 1 + (apdu[1] & 0x7F)
        self.used.append(int.from_bytes(apdu[at + 2 : at + 6]))
        return super().decipher(apdu)

    def _proved(self, proof: bytes) -> bool:
        self.used.append(int.from_bytes(proof[1:5]))
        return super()._proved(proof)


@dataclass
class Thing:
    """One meter: client 16 reads in clear, client 1 is ciphered."""

    title: bytes
    name: bytes = b"HES42"
    public: GuruxMeter = field(init=False)
    secure: Counted = field(init=False)
    lock: threading.Lock = field(default_factory=threading.Lock)
    associations: int = 0

    def __post_init__(self) -> None:
        named = data(NAME, self.name, DataType.OCTET_STRING)
        self.public = GuruxMeter([data(COUNTER, 0, DataType.UINT32), named])
        self.secure = Counted(GuruxMeter([named]), ek=EK, ak=AK, title=self.title)
        self.secure.used = []

    def answer(self, client: int, apdu: bytes) -> bytes:
        with self.lock:
            if client == PUBLIC:
                counter = next(item for item in self.public.items if item.logicalName == COUNTER)
                counter.value = max(0, self.secure.heard)
                return self.public.exchange(apdu)
            self.associations += apdu[0] == 0x60
            return self.secure.exchange(apdu)

    def serve(self, connection: socket.socket) -> None:
        """Answer on a connection until it ends."""
        deframer = Deframer()
        with connection, suppress(OSError):
            while octets := connection.recv(65_536):
                for client, server, apdu in deframer.feed(octets):
                    if apdu[0] == 0x10:
                        continue
                    connection.sendall(pack(server, client, self.answer(client, apdu)))


class TcpMeters:
    """Meters that are connected to."""

    def __init__(self, things: list[Thing], host: str = "127.0.0.1") -> None:
        self.things = things
        self._sockets = [
            socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) for _ in things
        ]
        self.ports = [listening.getsockname()[1] for listening in self._sockets]
        for listening, thing in zip(self._sockets, things, strict=True):
            threading.Thread(target=self._accept, args=(listening, thing), daemon=True).start()

    def close(self) -> None:
        for listening in self._sockets:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()

    def _accept(self, listening: socket.socket, thing: Thing) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=thing.serve, args=(connection,), daemon=True).start()


class UdpMeter:
    """A meter on UDP. `loses` says which of its datagrams, in both directions, are lost."""

    def __init__(self, thing: Thing, loses: Callable[[int], bool]) -> None:
        self.thing, self._loses, self._seen = thing, loses, 0
        self._answers: dict[bytes, bytes] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.received = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _lost(self) -> bool:
        self._seen += 1
        return self._loses(self._seen)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                octets, sender = self._socket.recvfrom(65_536)
                if not octets:  # shut down
                    return
                self.received += 1
                if self._lost():
                    continue
                ((client, server, apdu),) = Deframer().feed(octets)
                if octets not in self._answers:  # what comes again is answered as before
                    self._answers[octets] = pack(server, client, self.thing.answer(client, apdu))
                if not self._lost():
                    self._socket.sendto(self._answers[octets], sender)
