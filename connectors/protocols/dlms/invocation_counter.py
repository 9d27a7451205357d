"""Reading from a meter how far it has counted, through a client that needs no counter (IEC 62056-6-2, 0.0.43.1.e)."""

from __future__ import annotations

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.get import Attribute, get

INVOCATION_COUNTER = "0.0.43.1.0.255"


def read_invocation_counter(link: Associated, obis: str = INVOCATION_COUNTER) -> Session[int]:
    """The last invocation counter that the meter took from the client whose counter has this name; ours must be above.

    It is read in clear: anybody may have made it up. It may raise a counter of ours, never lower it.
    """
    attribute = Attribute(1, obis, 2)
    value, _ = axdr.decode((yield from get(link, attribute)))
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise DecodeError("dlms-axdr", f"{attribute}: {type(value).__name__} is no invocation counter of 32 bit")
    return int(value)
