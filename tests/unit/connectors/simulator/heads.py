"""A head-end for tests: takes pushes over the wrapper, answers the confirmed ones, or cuts the line instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from connectors.simulator.config import Address


def open_general_glo(message: bytes, encryption_key: bytes, authentication_key: bytes) -> bytes:
    """The APDU within general-glo-ciphering, suite 0, by `cryptography`; raises InvalidTag where it does not verify."""
    title, at = message[2:10], 11 + (message[10] & 0x7F if message[10] & 0x80 else 0)
    control, counter, sealed = message[at : at + 1], message[at + 1 : at + 5], message[at + 5 :]
    mode = modes.GCM(title + counter, sealed[-12:], min_tag_length=12)
    decryptor = Cipher(algorithms.AES(encryption_key), mode).decryptor()
    decryptor.authenticate_additional_data(control + authentication_key)
    return decryptor.update(sealed[:-12]) + decryptor.finalize()


@dataclass
class HeadEnd:
    """Listens, keeps every APDU, confirms what `answer` lets through. `cuts` connections are cut after their first APDU."""

    opened: Callable[[bytes], bytes] = bytes  # from an APDU on the wire to the plain one
    cuts: int = 0
    received: list[bytes] = field(default_factory=list)
    answered: list[bytes] = field(default_factory=list)  # the plain APDUs that were confirmed
    address: Address = field(default_factory=lambda: Address("127.0.0.1", 1))

    async def __aenter__(self) -> HeadEnd:
        self._changed = asyncio.Condition()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = Address("127.0.0.1", self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def until(self, reached: Callable[[HeadEnd], bool]) -> None:
        """Wait for a state of this head-end; the test's own timeout bounds it."""
        async with self._changed:
            await self._changed.wait_for(lambda: reached(self))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                header = await reader.readexactly(8)
                message = await reader.readexactly(int.from_bytes(header[6:8], "big"))
                self.received.append(message)
                if self.cuts:
                    self.cuts -= 1
                    writer.transport.abort()
                    return
                plain = self.opened(message)
                if plain[1] & 0x40:
                    self.answered.append(plain)
                    writer.write(header[:2] + header[4:6] + header[2:4] + b"\x00\x06\x10" + plain[1:5] + b"\x00")
                async with self._changed:
                    self._changed.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
