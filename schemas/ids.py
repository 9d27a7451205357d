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
    octets = [_text(kind)]
    _add(octets, parts)
    return hashlib.blake2b(b"".join(octets), digest_size=16, person=b"hes-event-id").hexdigest()


def _add(octets: list[bytes], parts: tuple[Part, ...]) -> None:
    # Nothing is remembered: most parts are of this event alone, and a cache that they fill costs more than it spares.
    for part in parts:
        if type(part) is int:
            data = b"%d" % part
            octets.append(b"i%d:%b" % (len(data), data))
        elif isinstance(part, str):
            octets.append(_text(part))
        elif isinstance(part, bytes):
            octets += (b"b%d:" % len(part), part)
        elif isinstance(part, tuple):
            octets.append(b"t%d:" % len(part))
            _add(octets, part)
        elif part is None:
            octets.append(b"n0:")
        else:
            data = repr(part).encode()
            octets.append(b"%b%d:%b" % (b"f" if isinstance(part, float) else b"i", len(data), data))


def _text(text: str) -> bytes:
    data = text.encode()
    return b"s%d:%b" % (len(data), data)
