"""The one value that an answer holds."""

from __future__ import annotations

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.errors import DecodeError


def whole(data: bytes, subject: str) -> axdr.Value:
    """The value in `data`. DecodeError where octets follow an array or structure: rows or fields would be missing.

    Octets after a plain value, which is complete, are passed over: gurux' server in C says a clock's time twice.
    """
    try:
        value, after = axdr.decode(data)
    except DecodeError as error:
        raise DecodeError(error.code, f"{subject}: {error.detail}") from None
    if after != len(data) and isinstance(value, (axdr.Array, axdr.Structure)):
        raise DecodeError("dlms-axdr", f"{subject}: {len(data) - after} octets after the value: ask again")
    return value
