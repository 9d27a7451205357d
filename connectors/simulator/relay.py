"""The disconnect control of a simulated meter (class 70, control mode 4): its state, and how often it moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

DISCONNECT_CONTROL = 70
RELAY_LN = "0.0.96.3.10.255"
MODE = 4
"""Disconnected and reconnected remotely, and by nobody else."""
_METHODS = {1: False, 2: True}
"""remote_disconnect, remote_reconnect: whether it is connected then."""


@dataclass(slots=True)
class Relay:
    """A meter's relay. `told` is called with each move, so that the truth file has it."""

    told: Callable[[bool], None] = lambda _connected: None
    connected: bool = True
    moves: int = 0
    orders: list[int] = field(default_factory=list)
    """Methods as they were invoked, also those that moved nothing."""

    def invoke(self, method: int) -> bool:
        """Whether there is such a method; it is done then."""
        if method not in _METHODS:
            return False
        self.orders.append(method)
        if self.connected is not _METHODS[method]:
            self.connected = _METHODS[method]
            self.moves += 1
            self.told(self.connected)
        return True
