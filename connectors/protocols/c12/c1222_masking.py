"""Secrets out of messages before they are kept: passwords, authentication data, tables of passwords and keys.

A masked message has the size and the structure of what came, with asterisks in place of what is secret, so that it can be
read and replayed; its MAC no longer verifies. What a ciphered message hides stays as it came. Where octets cannot be
understood all of them are masked from there on.
"""

from __future__ import annotations

from collections.abc import Sequence

from connectors.protocols.c12 import acse, ber, epsem
from connectors.protocols.c12.c1222_services import answered
from connectors.protocols.c12.epsem import Mode
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.requests import PASSWORD_SIZE

SECRET_TABLES = frozenset({42, 45, 46})
"""Security (passwords), key and extended key table (C12.19, decade 4)."""

_TABLE = 0x0FFF  # number and whose; the bits above say that a write is pending
_CONSTRUCTED = 0x20
_SHOWN = ((0xA2, 0xA0, 0xA1, 0x80), (0xA2, 0xA0, 0xA1, 0x81))  # the tags that lead to key id and IV
_SECURITY, _AUTHENTICATE = 0x51, 0x53
_FIRST_REQUEST = 0x20
_STAR = b"*"


def masked(message: bytes, requests: Sequence[bytes] = ()) -> bytes:
    """A message as it may be kept. `requests` are the services it answers, where it does: what they read may be secret.

    A segment is masked whole: what its piece holds cannot be told. Keep the message that was put together.
    """
    out = bytearray(message)
    try:
        parts = acse.split(message)
    except C12Error:
        return _from(message, 2)
    for element in parts:
        try:
            if element.tag == acse.AUTHENTICATION:
                _authentication(out, element.content, element.content_at)
            elif element.tag == acse.INFORMATION:
                _information(out, element, requests, whole=not any(part.tag == acse.SIZE for part in parts))
            elif element.tag not in acse.NAMES:
                _star(out, element.content_at, element.end)
        except C12Error:
            _star(out, element.content_at, element.end)
    return bytes(out)


def masked_service(service: bytes, request: bytes = b"") -> bytes:
    """One service as it may be kept; `request` is what it answers, where it is a response."""
    start, size = _secret(service, request)
    return service[:start] + _STAR * len(service[start : start + size]) + service[start + size :]


def _secret(service: bytes, request: bytes) -> tuple[int, int]:
    """Where the secret begins, and its size."""
    code = service[0] if service else 0
    if request:
        read = request[0]
        if read == _AUTHENTICATE:
            return 1, len(service)
        table = int.from_bytes(request[1:3], "big") & _TABLE
        secret = 0x30 <= read <= 0x3F and table in SECRET_TABLES and code == 0
        return (3, len(service)) if secret else (0, 0)
    if code == _SECURITY:
        return 1, PASSWORD_SIZE
    if code == _AUTHENTICATE:
        return 2, len(service)
    if 0x40 <= code <= 0x4F and int.from_bytes(service[1:3], "big") & _TABLE in SECRET_TABLES:
        return 3, len(service)
    return 0, 0


def _authentication(out: bytearray, content: bytes, at: int, path: tuple[int, ...] = ()) -> None:
    """Of C12.22's mechanism key id and IV are shown; what else stands there, and the other mechanisms, are not."""
    try:
        parts = tuple(ber.elements(content))
    except C12Error:
        _star(out, at, at + len(content))
        return
    for part in parts:
        here = (*path, part.tag)
        if part.tag & _CONSTRUCTED and len(here) < len(_SHOWN[0]):
            _authentication(out, part.content, at + part.content_at, here)
        elif here not in _SHOWN:
            _star(out, at + part.content_at, at + part.end)


def _information(out: bytearray, element: ber.Element, requests: Sequence[bytes], *, whole: bool) -> None:
    start = acse.information_at(element)
    if not whole:
        _star(out, start, element.end)
        return
    control, body, _ = epsem.split(bytes(out[start : element.end]))
    if control.mode is Mode.CIPHERED:
        return
    at = 1 + (epsem.ED_CLASS if control.classed else 0)
    services = epsem.body_of(control, body).services
    answers = answered(requests, services) if services and services[0][0] < _FIRST_REQUEST else ()
    for place, service in enumerate(services):
        at = ber.read_length(body, at - 1)[1] + 1
        kept = masked_service(service, answers[place] if place < len(answers) else b"")
        out[start + at : start + at + len(service)] = kept
        at += len(service)


def _star(out: bytearray, start: int, end: int) -> None:
    out[start:end] = _STAR * (end - start)


def _from(message: bytes, at: int) -> bytes:
    return message[:at] + _STAR * len(message[at:])
