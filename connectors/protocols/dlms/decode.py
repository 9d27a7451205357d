"""Octets to telegrams: framing, block transfer, deciphering and reading in one line. `hes decode` and the gateway use it.

A connection keeps a `PushStream` and an `Assembler`: what the first delivers, the second reads. `decode_stream` is both over
octets that are all there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from connectors.protocols.dlms.apdus import DATA_NOTIFICATION
from connectors.protocols.dlms.ciphering import Deciphered, KeyLookup
from connectors.protocols.dlms.errors import CipherError, DlmsError
from connectors.protocols.dlms.framing import Apdu, Limits, PushStream, Refused
from connectors.protocols.dlms.gbt import Blocks, BlockTransferError
from connectors.protocols.dlms.push import SEALED, read_plain, read_push, unlock, with_cipher
from connectors.protocols.dlms.telegram import Telegram, TelegramError
from connectors.protocols.dlms.template import PushTemplate

TemplateChooser = Callable[[bytes | None], PushTemplate | None]
"""The template for a push, given its system title where it was ciphered; None: recognise the layout."""

PlainReader = Callable[[bytes, str, PushTemplate | None], Telegram]
"""`push.read_plain`, or `learnt.Shapes.read`, which does the same sooner."""

_DEFAULT_LIMITS = Limits()
_NOTIFICATION = bytes((DATA_NOTIFICATION,))


def _recognise(_: bytes | None) -> None:
    return None


class Assembler:
    """What one connection needs between `Apdu` and `Telegram`: blocks that wait for more, keys, templates.

    `verify=False` is for looking at captures, never for acting on them (see `ciphering.decipher`).
    """

    def __init__(
        self,
        lookup: KeyLookup,
        choose: TemplateChooser = _recognise,
        *,
        limits: Limits = _DEFAULT_LIMITS,
        verify: bool = True,
        others: KeyLookup | None = None,
        read_plain: PlainReader = read_plain,
    ) -> None:
        """`others` are keys that may hold, too: tried where those of `lookup` do not."""
        self._read_plain = read_plain
        self._lookup = lookup
        self._others = others
        self._choose = choose
        self._verify = verify
        self._outer = Blocks(max_apdu=limits.max_apdu)
        self._inner = Blocks(max_apdu=limits.max_apdu)  # of blocks that are ciphered one by one
        self.system_title: str | None = None
        """Of the APDU taken last, where it named one: who is to blame for an error."""

    def take(self, apdu: Apdu) -> Telegram | None:
        """The telegram that is whole now, or None while its blocks are still coming.

        Raises DlmsError; nothing of the connection is lost by that, the next APDU is read as if this one had not come. Where
        it is a `BlockTransferError` with a `whole`, that is another APDU which is to be taken.
        """
        self.system_title = None
        whole = self._outer.feed(apdu.data)
        return None if whole is None else self._read(whole, apdu.transport)

    def read(self, item: Apdu | Refused) -> list[Telegram | TelegramError]:
        """`take` for callers that want errors as values: everything that `item` makes, in order."""
        if isinstance(item, Refused):
            return [TelegramError(item.code, item.detail, item.data, item.transport)]
        try:
            telegram = self.take(item)
        except BlockTransferError as error:
            out: list[Telegram | TelegramError] = [_lost(error, item.transport)]
            if error.whole is not None:
                out += self.read(replace(item, data=error.whole))
            return out
        except DlmsError as error:
            return [self._error(error, item)]
        return [] if telegram is None else [telegram]

    def close(self) -> list[Telegram | TelegramError]:
        """The connection ended: blocks that wait for more are an error."""
        out: list[Telegram | TelegramError] = []
        for blocks in (self._outer, self._inner):
            try:
                blocks.close()
            except BlockTransferError as error:
                out.append(_lost(error, "UNKNOWN"))
        return out

    def _read(self, data: bytes, transport: str) -> Telegram | None:
        if data[:1] == _NOTIFICATION:
            return self._read_plain(data, transport, self._choose(None))
        if not data or data[0] not in SEALED:
            return read_push(Apdu(data, (), transport), self._lookup, self._choose(None))
        opened, authenticated = self._unlock(data)
        self.system_title = opened.system_title.hex().upper()
        plain = self._inner.feed(opened.plain)
        if plain is None:
            return None
        telegram = self._read_plain(plain, transport, self._choose(opened.system_title))
        return with_cipher(telegram, opened, authenticated=authenticated)

    def _unlock(self, data: bytes) -> tuple[Deciphered, bool]:
        try:
            return unlock(data, self._lookup, verify=self._verify)
        except CipherError as error:
            self.system_title = error.system_title.hex().upper() if error.system_title else None
            if self._others is None or error.code != "cipher-authentication":
                raise
            try:
                return unlock(data, self._others, verify=self._verify)
            except CipherError:
                raise error from None

    def _error(self, error: DlmsError, apdu: Apdu) -> TelegramError:
        return TelegramError(error.code, error.detail, apdu.data, apdu.transport, self.system_title)


def _lost(error: BlockTransferError, transport: str) -> TelegramError:
    return TelegramError(error.code, error.detail, b"".join(error.blocks), transport)


def decode_stream(
    data: bytes,
    lookup: KeyLookup,
    template: PushTemplate | None = None,
    *,
    limits: Limits = _DEFAULT_LIMITS,
    verify: bool = False,
) -> Iterator[Telegram | TelegramError]:
    """Every telegram in `data`, and every piece of it that could not be read, in order. Never raises on what `data` holds.

    A ciphered telegram whose authentication key is not known is still read unless `verify`: its `authenticated` is False.
    """
    if data.lstrip()[:1] == b"/":
        why = "this is text of a P1 port (IEC 62056-21, DSMR), not DLMS: it is not read here"
        yield TelegramError("frame-garbage", why, data)
        return
    stream = PushStream(limits)
    assembler = Assembler(lookup, lambda _: template, limits=limits, verify=verify)
    for item in stream.feed(data):
        yield from assembler.read(item)
    for item in stream.close():
        yield from assembler.read(item)
    yield from assembler.close()
