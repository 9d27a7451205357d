"""Ports on the loopback interface: is one free, and which to take."""

from __future__ import annotations

import random
import socket
import sys
from collections import deque
from collections.abc import Collection, Iterable, Mapping

from connectors.local.errors import LocalError

HOST = "127.0.0.1"
RANGE = range(20_000, 30_000)
"""Below the range from which systems take the ports of outgoing connections, so that none sits there when we come back."""


def is_free(port: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> bool:
    """Whether a server could listen here now (connections of an earlier one that linger do not count)."""
    with socket.socket(type=kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def answers(port: int, timeout_s: float = 0.5) -> bool:
    """Whether something accepts connections."""
    try:
        socket.create_connection((HOST, port), timeout_s).close()
    except OSError:
        return False
    return True


def choose(names: Iterable[str], remembered: Mapping[str, int], avoid: Collection[int] = ()) -> dict[str, int]:
    """A free port for each name: the one remembered where it is still free, else another."""
    chosen: dict[str, int] = {}
    for name in names:
        taken = {*chosen.values(), *avoid}
        port = remembered.get(name, 0)
        chosen[name] = port if port and port not in taken and is_free(port) else _another(taken)
    return chosen


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that is free now, and that no outgoing connection will have taken by the time a server listens."""
    return _another((), kind)


def _another(taken: Collection[int], kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    for port in random.SystemRandom().sample(RANGE, 200):  # of its own: two processes may have seeded theirs alike
        if port not in taken and is_free(port, kind) and _reserve(port):
            return port
    raise LocalError(f"no free port found on {HOST} between {RANGE.start} and {RANGE.stop - 1}", "end what listens there")


def _reserve(port: int) -> bool:
    """Whether no process here was given this port a moment ago, for a server that may only be starting.

    A name of Linux' abstract sockets says so to all processes, and goes with the one that holds it. Elsewhere it is left to
    chance, 1 in 10,000 each time.
    """
    if sys.platform != "linux":
        return True
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0hes-port-{port}")
    except OSError:
        name.close()
        return False
    _reserved.append(name)
    if len(_reserved) > _KEPT:
        _reserved.popleft().close()
    return True


_KEPT = 64
"""By the time that so many more were given, the first one's server listens, or never will."""
_reserved: deque[socket.socket] = deque()
