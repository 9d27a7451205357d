"""Event ids: a pure function of what an event states, never random.

The same statement twice has one id, so every sink can take it twice and be left as after once. A correction states
something else, so it has another id.
"""

from __future__ import annotations

import hashlib

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
    if isinstance(part, bytes):
        tag, data = b"b", part
    elif part is None:
        tag, data = b"n", b""
    elif isinstance(part, str):
        tag, data = b"s", part.encode()
    else:
        tag, data = (b"f" if isinstance(part, float) else b"i"), repr(part).encode()
    octets += (tag + b"%d:" % len(data), data)


_COUNTED = {int, type(None)}
_NONE = "i4:None"
