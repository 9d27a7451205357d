"""One push APDU to a `Telegram`, and who it says it is from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from connectors.protocols.dlms import axdr, general_ciphering
from connectors.protocols.dlms.apdus import DATA_NOTIFICATION, EVENT_NOTIFICATION, EventNotification, parse_notification
from connectors.protocols.dlms.ciphering import (
    AUTHENTICATED,
    BROADCAST,
    CIPHERED_TAGS,
    GENERAL_CIPHERING,
    GENERAL_SIGNING,
    Deciphered,
    KeyLookup,
    Keys,
    decipher,
    missing,
)
from connectors.protocols.dlms.cosem import LOGICAL_DEVICE_NAME, try_datetime
from connectors.protocols.dlms.errors import CipherError, DlmsError
from connectors.protocols.dlms.framing import Apdu
from connectors.protocols.dlms.framing.items import RAW
from connectors.protocols.dlms.layouts import read_body
from connectors.protocols.dlms.p1 import is_p1, read_p1
from connectors.protocols.dlms.telegram import Telegram, TelegramValue, octets_of, scalar
from connectors.protocols.dlms.template import PushTemplate

GENERIC = PushTemplate()
_PLAIN = (DATA_NOTIFICATION, EVENT_NOTIFICATION)
_BLOCK = 0xE0
SEALED = CIPHERED_TAGS | {GENERAL_CIPHERING, GENERAL_SIGNING}
"""First octets of a push that is protected."""


def read_push(
    apdu: Apdu | bytes, lookup: KeyLookup, template: PushTemplate | None = None, *, verify: bool = True
) -> Telegram:
    """The telegram in one whole APDU, plain or ciphered. Blocks of a general block transfer are `decode.Assembler`'s.

    `verify=False` is for looking at captures: a tag that cannot be checked for want of an authentication key is passed over.
    Raises DlmsError with a code of `errors.CODES`.
    """
    data, transport = (apdu.data, apdu.transport) if isinstance(apdu, Apdu) else (apdu, RAW)
    if data[:1] == bytes((_BLOCK,)):
        raise DlmsError("block-transfer", "one block of a general block transfer is no whole APDU: assemble it first")
    if not data or data[0] not in SEALED:
        return read_plain(data, transport, template)
    opened, authenticated = unlock(data, lookup, verify=verify)
    return with_cipher(read_plain(opened.plain, transport, template), opened, authenticated=authenticated)


def unlock(data: bytes, lookup: KeyLookup, *, verify: bool = True) -> tuple[Deciphered, bool]:
    """The deciphered APDU and whether its tag was verified.

    Octets that start no push after deciphering mean the wrong key where no tag says so: CipherError "cipher-authentication".
    """
    has_ak = False

    def watched(title: bytes) -> Keys | None:
        nonlocal has_ak
        keys = lookup(title)
        has_ak = keys is not None and keys.ak is not None
        return keys

    opened = _general(data, watched) if data[0] == GENERAL_CIPHERING else decipher(data, watched, verify=verify)
    authenticated = has_ak and bool(opened.security & AUTHENTICATED) and not opened.security & BROADCAST
    pushes = (bytes((tag,)) for tag in (*_PLAIN, _BLOCK))
    if not authenticated and opened.plain[:1] not in pushes and not is_p1(opened.plain):
        title = opened.system_title
        why = f"system title {title.hex().upper()}: what was deciphered is no push, so the encryption key is not the meter's"
        raise CipherError("cipher-authentication", why, title)
    return opened, authenticated


def _general(data: bytes, lookup: KeyLookup) -> Deciphered:
    """A push under general-ciphering with a key that both sides hold (identified or wrapped)."""
    title = general_ciphering.originator(data)
    keys = lookup(title)
    if keys is None:
        raise missing("no key", title)
    opened = general_ciphering.decipher(data, keys)
    return Deciphered(opened.plain, title, opened.invocation_counter or 0, opened.security | BROADCAST * opened.broadcast)


def with_cipher(telegram: Telegram, opened: Deciphered, *, authenticated: bool) -> Telegram:
    """The telegram with what its ciphering says of it."""
    title = opened.system_title.hex().upper()
    return _protected(telegram, title, opened.invocation_counter, opened.security, authenticated=authenticated)


def _protected(
    telegram: Telegram, title: str | None, counter: int | None, security: int | None, *, authenticated: bool
) -> Telegram:
    # Field by field: dataclasses.replace takes as long as reading a telegram of a known shape.
    return Telegram(
        telegram.transport,
        telegram.apdu,
        telegram.values,
        telegram.layout,
        telegram.source,
        telegram.plain,
        title,
        counter,
        security,
        authenticated,
        telegram.meter_time,
        telegram.confirmed,
        telegram.invoke_id,
        telegram.list_id,
        telegram.unnamed,
        telegram.profiles,
    )


def read_plain(plain: bytes, transport: str = RAW, template: PushTemplate | None = None) -> Telegram:
    """The telegram in a plain data-notification or event-notification, or in a P1 port's text. Raises DlmsError."""
    template = template or GENERIC
    if is_p1(plain):
        return read_p1(plain, transport, whole=True)[0]
    notification = parse_notification(plain, deviation_reversed=template.deviation_reversed)
    if isinstance(notification, EventNotification):
        return _event(notification, plain, transport, template)
    found = read_body(notification.body, template, tagged_time=notification.tagged_time)
    unnamed = found.leftovers()
    return Telegram(
        transport=transport,
        apdu="data-notification",
        values=tuple(found.values),
        layout=found.layout,
        source=found.source or found.layout,
        plain=plain,
        meter_time=notification.time or found.time,
        confirmed=notification.confirmed,
        invoke_id=notification.invoke_id,
        list_id=found.list_id,
        unnamed=unnamed,
        profiles=tuple(found.profiles),
    )


def reread(
    telegram: Telegram, template: PushTemplate, read: Callable[[bytes, str, PushTemplate], Telegram] = read_plain
) -> Telegram:
    """The same push under another template: for a meter that is known only once its push was read. Raises DlmsError."""
    new = read(telegram.plain, telegram.transport, template)
    return _protected(
        new, telegram.system_title, telegram.invocation_counter, telegram.security, authenticated=telegram.authenticated
    )


def identities(telegram: Telegram, template: PushTemplate | None = None) -> list[tuple[str, str]]:
    """Who the telegram says it is from: (kind, value), in the order that the template trusts them. May be empty."""
    template = template or GENERIC
    said = {value.obis: str(value.raw).strip() for value in reversed(telegram.values) if value.raw not in (None, "")}
    serial = next((said[code] for code in template.serials if code in said), None)
    known = {
        "SYSTEM_TITLE": telegram.system_title,
        "LOGICAL_DEVICE_NAME": said.get(LOGICAL_DEVICE_NAME),
        "SERIAL": serial,
    }
    return [(kind, value) for kind in template.identity_order if (value := known.get(kind))]


def _event(event: EventNotification, plain: bytes, transport: str, template: PushTemplate) -> Telegram:
    reverse = template.deviation_reversed
    scaler, unit = template.units.get(event.obis, (None, None))
    time = None
    if isinstance(event.value, bytes) and len(event.value) == 12:
        time = try_datetime(event.value, deviation_reversed=reverse)
    value = TelegramValue(
        event.obis,
        scalar(event.value, deviation_reversed=reverse),
        event.attribute,
        event.class_id,
        scaler,
        unit,
        octets_of(event.value),
        time,
    )
    nested: tuple[TelegramValue, ...] = ()
    if isinstance(event.value, (axdr.Structure, axdr.Array)):
        try:
            nested = tuple(read_body(event.value, replace(template, layout=None)).values)
        except DlmsError:
            nested = ()  # a structure of its own kind: kept as it is in `value`
    return Telegram(
        transport=transport,
        apdu="event-notification",
        values=(value, *nested),
        layout="event",
        source=f"{event.class_id}/{event.obis}/{event.attribute}",
        plain=plain,
        meter_time=event.time,
    )
