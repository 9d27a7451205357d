"""A gateway that sends itself a signal at one stage of a change of keys: `python -m tests.integration.staged_keys`.

`STAGES` are in the order in which a change passes them.
"""

from __future__ import annotations

import sys
from typing import Any

from connectors.gateway.deeds import Deed
from connectors.gateway.keystore import FileKeyStore
from connectors.gateway.service import main
from connectors.gateway.session import MeterLink
from connectors.protocols.dlms.objects.security_setup import KeyEvent
from streams.runtime.settings import Settings
from tests.integration.staged import Stage, arm

_GLO_ACTION, _LONG = 0xCB, 90
"""The tag of a ciphered action, and octets that one has which carries two keys: the proof of an association has fewer."""


def _noting(event: KeyEvent, *, after: bool) -> Stage:
    return Stage(FileKeyStore, "note", after, lambda args, _: args[2] is event)


def _carries_keys(args: tuple[Any, ...], _: Any) -> bool:
    return len(args[1]) > _LONG and args[1][8] == _GLO_ACTION


STAGES = {
    "proposed": Stage(FileKeyStore, "propose"),
    "intended": _noting(KeyEvent.SEND, after=False),
    "send-noted": _noting(KeyEvent.SEND, after=True),
    "about-to-send": Stage(Deed, "still"),
    "sent": Stage(MeterLink, "_put", fits=_carries_keys),
    "answered": _noting(KeyEvent.ACCEPTED, after=False),
    "written": _noting(KeyEvent.ACCEPTED, after=True),
    "proven": _noting(KeyEvent.NEW_WORKS, after=False),
    "promoted": _noting(KeyEvent.NEW_WORKS, after=True),
}
INTENDED = tuple(STAGES)[1:]
"""From here on an intent is in Kafka."""
SENT = tuple(STAGES)[4:]
"""From here on the octets were sent."""


if __name__ == "__main__":
    arm(STAGES)
    sys.exit(main(Settings()))
