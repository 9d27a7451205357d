"""How a meter gets a telegram to the head-end, and what it does when nobody answers.

A confirmed push is sent again, with the same content, until the head-end answers it with a data-notification-confirm
(tag 0x10, the long-invoke-id-and-priority that was sent, in a wrapper with the ports swapped). Where the transport has no
confirmation, a push counts as delivered when the head-end took the bytes and closed the connection in good order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from connectors.simulator.config import Address
from connectors.simulator.telegrams import MANAGEMENT_DEVICE, PUSH_CLIENT

CONFIRM = 0x10
HEADER = 8
LARGEST_CONFIRM = 256
CLOSING_S = 3.0  # how long an unconfirmed sender waits for the head-end to close


@dataclass(frozen=True, slots=True)
class Sending:
    """Bytes for one connection, and which invoke ids must be answered on it; `drip` writes them one by one."""

    content: bytes
    invoke_ids: frozenset[int] = frozenset()
    drip: bool = False


def confirmed_ids(buffer: bytearray) -> set[int]:
    """Take whole wrapper frames off the buffer: the invoke ids that they confirm. Raises ValueError on anything else."""
    found: set[int] = set()
    while len(buffer) >= HEADER:
        version, source, destination, length = (int.from_bytes(buffer[at : at + 2], "big") for at in (0, 2, 4, 6))
        if version != 1 or source != PUSH_CLIENT or destination != MANAGEMENT_DEVICE or not 5 <= length <= LARGEST_CONFIRM:
            raise ValueError(f"the head-end answered a push with {bytes(buffer[:HEADER]).hex()}")
        if len(buffer) < HEADER + length:
            break
        message = bytes(buffer[HEADER : HEADER + length])
        del buffer[: HEADER + length]
        if message[0] != CONFIRM:
            raise ValueError(f"the head-end answered a push with APDU tag {message[0]:#04x}")
        found.add(int.from_bytes(message[2:5], "big"))
    return found


async def send_confirmed(address: Address, sending: Sending, timeout_s: float) -> set[int]:
    """One attempt: the invoke ids that were confirmed before the timeout or the end of the connection."""
    confirmed: set[int] = set()
    buffer = bytearray()
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            await _write(writer, sending)
            while not confirmed >= sending.invoke_ids and (answer := await reader.read(4096)):
                buffer += answer
                confirmed |= confirmed_ids(buffer)
    except (OSError, TimeoutError, ValueError):
        pass  # whatever was not confirmed is sent again
    finally:
        if writer is not None:
            writer.close()
    return confirmed & sending.invoke_ids


class Outcome(Enum):
    """How an attempt without confirmation ended."""

    NOT_CONNECTED = "not-connected"
    CUT = "cut"  # in the middle, or no end in time: what the head-end has of it is not known
    CLOSED = "closed"  # it took everything and closed in good order


async def send_unconfirmed(address: Address, sending: Sending, timeout_s: float) -> Outcome:
    """One attempt to send bytes that nobody will confirm."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s + CLOSING_S):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            await _write(writer, sending)
            writer.write_eof()
            while await reader.read(4096):
                pass
    except (OSError, TimeoutError):
        return Outcome.NOT_CONNECTED if writer is None else Outcome.CUT
    finally:
        if writer is not None:
            writer.close()
    return Outcome.CLOSED


async def _write(writer: asyncio.StreamWriter, sending: Sending) -> None:
    pieces: Sequence[bytes] = [sending.content]
    if sending.drip:
        pieces = [sending.content[at : at + 1] for at in range(len(sending.content))]
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        if sending.drip:
            await asyncio.sleep(0)
