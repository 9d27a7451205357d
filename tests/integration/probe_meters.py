"""Meters on sockets for `hes probe`: gurux-dlms' server, by wrapper on TCP and UDP, with security, and by HDLC."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from gurux_dlms import GXDateTime
from gurux_dlms.enums import DataType, Unit
from gurux_dlms.objects import GXDLMSObject

from connectors.protocols.dlms.framing.wrapper import Deframer, pack
from connectors.protocols.dlms.hdlc_frames import Frames
from tests.unit.connectors.protocols.dlms.gurux_meter import clock, data, register
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import Relay

LAST_HEARD = 1204
NAMES = {"0.0.42.0.0.255": b"GRX0000000000042", "0.0.96.1.0.255": b"GRX00000042", "1.0.0.2.0.255": b"1.2.3"}


def objects() -> list[GXDLMSObject]:
    """What the meters have: names, a clock, two registers, a relay, and how far the meter has counted."""
    named = [data(obis, text, DataType.OCTET_STRING) for obis, text in NAMES.items()]
    counted = data("0.0.43.1.0.255", LAST_HEARD, DataType.UINT32)
    registers = [
        register("1.0.1.8.0.255", 123456789, 0.1, Unit.ACTIVE_ENERGY),
        register("1.0.2.8.0.255", 42, 1, Unit.ACTIVE_ENERGY),
    ]
    return [*named, counted, clock(GXDateTime(datetime.now(UTC))), *registers, Relay()]


Exchange = Callable[[int, bytes], bytes | None]
"""The wPort that asks and its APDU to the answer; b"" is silence, None hangs up."""


def wrapper(exchange: Exchange) -> Callable[[socket.socket], None]:
    """A connection by the wrapper."""

    def serve(line: socket.socket) -> None:
        deframer = Deframer()
        while octets := line.recv(65536):
            for client, server, apdu in deframer.feed(octets):
                answer = exchange(client, apdu)
                if answer is None:
                    return
                if answer:
                    line.sendall(pack(server, client, answer))

    return serve


def hdlc(octets_of: Callable[[bytes], bytes]) -> Callable[[socket.socket], None]:
    """A connection by HDLC: one frame and its answer at a time."""

    def serve(line: socket.socket) -> None:
        frames = Frames(5.0)
        while octets := line.recv(65536):
            for frame in frames.feed(octets, 0.0):
                if answer := octets_of(frame.octets):
                    line.sendall(answer)

    return serve


@contextmanager
def listening(serve: Callable[[socket.socket], None], host: str = "127.0.0.1") -> Iterator[int]:
    """The port on which connections are served, one after the other."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family)

    def accept() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            with line:
                try:
                    serve(line)
                except ConnectionError:
                    continue

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


@contextmanager
def datagrams(exchange: Exchange) -> Iterator[int]:
    """The port on which datagrams are answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))

        def answer() -> None:
            while True:
                octets, peer = listener.recvfrom(65536)
                if not octets:
                    return
                for client, server, apdu in Deframer().feed(octets):
                    if reply := exchange(client, apdu):
                        listener.sendto(pack(server, client, reply), peer)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        port: int = listener.getsockname()[1]
        try:
            yield port
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
                end.sendto(b"", ("127.0.0.1", port))
            thread.join(10)


def of(meters: dict[int, Any]) -> Exchange:
    """Meters, or what stands for them to a client, by its wPort; others are hung up on."""
    return lambda client, apdu: meters[client].exchange(apdu) if client in meters else None
