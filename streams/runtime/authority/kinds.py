"""What kind of command an operation is: policies speak of kinds, since not what it is called counts but what it can do."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.records import Operation

READ, PING, DISCONNECT, LIMIT, FIRMWARE = "read", "ping", "disconnect", "limit", "firmware"
_KINDS = {
    Operation.READ_REGISTERS: READ,
    Operation.READ_PROFILE: READ,
    Operation.READ_EVENT_LOG: READ,
    Operation.READ_CLOCK: READ,
    Operation.PING: PING,
    Operation.DISCONNECT: DISCONNECT,
    Operation.RECONNECT: "reconnect",
    Operation.ARM_FOR_RECONNECTION: "arm-for-reconnection",
    Operation.LIMIT: LIMIT,
    Operation.SET_CLOCK: "set-clock",
    Operation.SET_CALENDAR: "set-calendar",
    Operation.SET_PARAMETER: "set-parameter",
    Operation.ROTATE_KEY: "rotate-key",
    Operation.FIRMWARE_TRANSFER: FIRMWARE,
}
KINDS = tuple(dict.fromkeys(_KINDS.values()))
"""Every kind that a policy may speak of."""
_HARMLESS = frozenset({READ, PING})
_CUTS = frozenset({DISCONNECT, LIMIT})
_RELAY_CLASSES = frozenset({9, 21, 22, 68, 70, 71})
"""COSEM classes by which a relay can be moved: script table, register monitor, single action schedule, arbitrator,
disconnect control, limiter."""


def kind_of(operation: Operation, objects: Sequence[str]) -> str:
    """The kind of a command; empty for what is no command. A parameter by which a relay can be moved is a disconnection,
    and so is one whose class cannot be told.
    """
    if operation is Operation.SET_PARAMETER and not all(map(_is_tame, objects)):
        return DISCONNECT
    return _KINDS.get(operation, "")


def acts(kind: str) -> bool:
    """Whether it moves a relay or changes a meter: rule 9 holds, and a freeze stops it."""
    return kind not in _HARMLESS


def cuts(kind: str) -> bool:
    """Whether it can leave a customer without supply: protected customers, daily limits."""
    return kind in _CUTS


def _is_tame(text: str) -> bool:
    number = text.partition("/")[0]
    return number.isascii() and number.isdigit() and len(number) <= 5 and int(number) not in _RELAY_CLASSES
