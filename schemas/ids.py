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
    octets = [_known(kind)]
    _add(octets, parts)
    return hashlib.blake2b(b"".join(octets), digest_size=16, person=b"hes-event-id").hexdigest()


def _add(octets: list[bytes], parts: tuple[Part, ...]) -> None:
    for part in parts:
        if isinstance(part, _REMEMBERED):
            octets.append(_known(part))
        elif isinstance(part, bytes):
            octets += (b"b%d:" % len(part), part)
        elif isinstance(part, float):
            octets.append(_encoded(b"f", repr(part)))
        else:
            octets.append(b"t%d:" % len(part))
            _add(octets, part)


_REMEMBERED = (str, int, type(None))


@lru_cache(maxsize=16_384, typed=True)
def _known(part: str | int | None) -> bytes:
    """Names, units and small numbers come again and again."""
    if part is None:
        return b"n0:"
    return _encoded(b"s", part) if isinstance(part, str) else _encoded(b"i", repr(part))


def _encoded(mark: bytes, text: str) -> bytes:
    data = text.encode()
    return mark + b"%d:" % len(data) + data
