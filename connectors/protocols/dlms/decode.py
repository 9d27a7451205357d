"""Octets to telegrams: framing, block transfer, deciphering and reading in one line. `hes decode` and the gateway use it.

A connection keeps a `PushStream` and an `Assembler`: what the first delivers, the second reads. `decode_stream` is both over
octets that are all there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

from connectors.protocols.dlms.apdus import DATA_NOTIFICATION
from connectors.protocols.dlms.axdr import ARRAY, STRUCTURE, skip
from connectors.protocols.dlms.ciphering import Deciphered, KeyLookup
from connectors.protocols.dlms.errors import CipherError, DlmsError, LayoutError
from connectors.protocols.dlms.framing import Apdu, Limits, PushStream, Refused
from connectors.protocols.dlms.framing.hdlc import FLAG, parse
from connectors.protocols.dlms.framing.items import RAW
from connectors.protocols.dlms.gbt import Blocks, BlockTransferError
from connectors.protocols.dlms.p1 import is_p1, read_p1
from connectors.protocols.dlms.push import SEALED, read_plain, read_push, unlock, with_cipher
from connectors.protocols.dlms.session_apdus import Sessions
from connectors.protocols.dlms.session_ciphering import SEALED as SEALED_TAGS
from connectors.protocols.dlms.session_ciphering import Opener
from connectors.protocols.dlms.telegram import Telegram, TelegramError
from connectors.protocols.dlms.template import PushTemplate

TemplateChooser = Callable[[bytes | None], PushTemplate | None]
"""The template for a push, given its system title where it was ciphered; None: recognise the layout."""

PlainReader = Callable[[bytes, str, PushTemplate | None], Telegram]
"""`push.read_plain`, or `learnt.Shapes.read`, which does the same sooner."""

_DEFAULT_LIMITS = Limits()
_NOTIFICATION = bytes((DATA_NOTIFICATION,))
_HEADLESS = _NOTIFICATION + bytes(5)  # the head of a data-notification that says nothing
_FLAG = bytes((FLAG,))
_SEALED = frozenset(bytes((tag,)) for tag in SEALED_TAGS)
_plain = read_plain  # a parameter has its name


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
        unnamed = error.unnamed if isinstance(error, LayoutError) else ()
        return TelegramError(error.code, error.detail, apdu.data, apdu.transport, self.system_title, unnamed)


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
    Also read, where all of `data` is such: texts of P1 ports, the body of a push alone, an HDLC frame without its flags.
    APDUs of a session are read as far as `session_apdus` does, those that are ciphered, too.
    """
    if is_p1(data):
        yield from _texts(data)
        return
    if bodies := _bodies(data, template):
        yield from bodies
        return
    if _is_unflagged(data):
        data = _FLAG + data
    sessions = Sessions(Opener(lookup, verify))
    if data[:1] not in _SEALED and (alone := _of_session(Apdu(data, (), RAW), sessions)) and isinstance(alone[0], Telegram):
        yield from alone
        return
    stream = PushStream(limits)
    assembler = Assembler(lookup, lambda _: template, limits=limits, verify=verify)
    for item in chain(stream.feed(data), stream.close()):
        yield from _either(item, sessions, assembler)
    yield from assembler.close()


def _either(item: Apdu | Refused, sessions: Sessions, assembler: Assembler) -> list[Telegram | TelegramError]:
    """What an APDU says to a session or as a push; of what is ciphered the latter is tried first, since most of it is."""
    if isinstance(item, Refused) or item.data[:1] not in _SEALED:
        return _of_session(item, sessions) or assembler.read(item)
    pushed = assembler.read(item)
    codes = [one.code for one in pushed if isinstance(one, TelegramError)]
    said = _of_session(item, sessions) if codes else []
    return [one for one in said if isinstance(one, Telegram) or one.code not in codes] or pushed


def _of_session(item: Apdu | Refused, sessions: Sessions) -> list[Telegram | TelegramError]:
    """What an APDU of a session says; nothing where it is of none."""
    if isinstance(item, Refused):
        return []
    try:
        telegram = sessions.read(item.data, item.transport)
    except DlmsError as error:
        return [TelegramError(error.code, error.detail, item.data, item.transport)]
    return [] if telegram is None else [telegram]


def _texts(data: bytes) -> Iterator[Telegram | TelegramError]:
    """The telegrams of a P1 port, one after the other."""
    while is_p1(data):
        try:
            telegram, end = read_p1(data, whole=data.rstrip().endswith(b")"))  # else its last line may be cut
        except DlmsError as error:
            end = data.find(b"\n/", 1) + 1 or len(data)
            yield TelegramError(error.code, error.detail, data[:end])
        else:
            yield telegram
        data = data[end:].lstrip(b"\0\r\n \t")
    if data:
        yield TelegramError("frame-garbage", f"{len(data)} octets behind the end of a P1 telegram", data)


def _bodies(data: bytes, template: PushTemplate | None) -> list[Telegram | TelegramError]:
    """What is read where `data` is structures or arrays from end to end, as readers show what pushes hold; else nothing."""
    out: list[Telegram | TelegramError] = []
    at = 0
    while at < len(data) and data[at] in (STRUCTURE, ARRAY):
        try:
            end = skip(data, at)
            telegram = _plain(_HEADLESS + data[at:end], RAW, template)
            out.append(replace(telegram, apdu="data", plain=data[at:end], invoke_id=None))
        except LayoutError as error:
            out.append(TelegramError(error.code, error.detail, data[at:end], RAW, None, error.unnamed))
        except DlmsError:
            return []
        at = end
    return out if at == len(data) else []


def _is_unflagged(data: bytes) -> bool:
    """Whether `data` begins with an HDLC frame that has all but the flag before it."""
    if len(data) < 2 or data[0] & 0xF0 != 0xA0:
        return False
    length = (data[0] & 7) << 8 | data[1]
    if data[length : length + 1] not in (b"", _FLAG):
        return False
    try:
        parse(_FLAG + data[:length] + _FLAG)
    except DlmsError:
        return False
    return True
