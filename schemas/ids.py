"""Event ids: a pure function of what an event states, never random.

The same statement twice has one id, so every sink can take it twice and be left as after once. A correction states
something else, so it has another id.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from schemas.records import Scalar

Part = Scalar | bytes | tuple["Part", ...]


def event_id(kind: str, *parts: Part) -> str:
    """A 32-character hex id of `kind` (the record's name) and what it states.

    Parts are encoded with their type and length, so `("ab", "c")` and `("a", "bc")` differ, as do 1, 1.0 and "1".
    """
    octets: list[bytes] = []
    _add(octets, kind)
    for part in parts:
        _add(octets, part)
    return hashlib.blake2b(b"".join(octets), digest_size=16, person=b"hes-event-id").hexdigest()


def _add(octets: list[bytes], part: Part) -> None:
    if isinstance(part, tuple):
        octets.append(b"t%d:" % len(part))
        if set(map(type, part)) <= _COUNTED:  # a column, mostly: all at once
            octets.append("".join([f"i{len(digits)}:{digits}" for digits in map(repr, part)]).replace(_NONE, "n0:").encode())
            return
        for item in part:
            _add(octets, item)
        return
    if isinstance(part, str):
        octets.append(_text(part))
    elif isinstance(part, bytes):
        octets += (b"b%d:" % len(part), part)
    elif part is None:
        octets.append(b"n0:")
    else:
        data = repr(part).encode()
        octets += ((b"f%d:" if isinstance(part, float) else b"i%d:") % len(data), data)


@lru_cache(maxsize=16_384)
def _text(part: str) -> bytes:
    """Names and units come again and again."""
    data = part.encode()
    return b"s%d:" % len(data) + data


_COUNTED = {int, type(None)}
_NONE = "i4:None"
