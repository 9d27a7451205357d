"""Link frames: octets of a connection to APDUs, and back.

Pure and sans-I/O: no socket, no clock, no logging. `PushStream` is what listeners use; `wrapper` and `hdlc` also build
frames for the pull side. Lengths are checked before anyone waits for them, and what is held is bounded by `Limits`.
Block transfer (`gbt`) and ciphering (`ciphering`) come after it.
"""

from __future__ import annotations

from connectors.protocols.dlms.framing.items import Apdu, Item, Limits, Refused
from connectors.protocols.dlms.framing.stream import PushStream

__all__ = ["Apdu", "Item", "Limits", "PushStream", "Refused"]
