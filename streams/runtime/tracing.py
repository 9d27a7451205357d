"""Kafka headers: CloudEvents in binary mode, a W3C trace context, and the mark of a replay."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

from schemas.records import Record
from streams.runtime.clock import iso

Headers = list[tuple[str, str | bytes | None]]
"""Headers as they are written."""
Pairs = Sequence[tuple[str, str | bytes | None]]
AnyHeaders = Pairs | Mapping[str, str | bytes | None] | None
"""Headers as the Kafka clients give them."""
REPLAY = "replay-id"
"""Header of a record that was replayed; such a record skips counters and security alarms (rule 12)."""
REPLAY_TO = "replay-to"
"""Header of a replayed record: the services beyond storage that are to see it, separated by commas."""
TRACE = "traceparent"


def headers_of(record: Record, *, source: str, at_ms: int, parent: str = "", replay_id: str = "") -> Headers:
    """Headers of a record: ce_*, traceparent (a child of `parent` where there is one), replay-id where it is a replay."""
    headers: Headers = [
        _VERSION,
        _type_of(type(record).__name__),
        ("ce_id", str(getattr(record, "id", "")).encode()),
        ("ce_source", source.encode()),
        ("ce_time", _time_of(at_ms)),
        (TRACE, child_of(parent).encode()),
    ]
    if replay_id:
        headers.append((REPLAY, replay_id.encode()))
    return headers


_VERSION = ("ce_specversion", b"1.0")


@cache
def _type_of(name: str) -> tuple[str, bytes]:
    return "ce_type", b"hes." + name.encode()


@lru_cache(maxsize=64)
def _time_of(ms: int) -> bytes:
    return iso(ms).encode()


def child_of(parent: str) -> str:
    """A traceparent of the parent's trace, or of a new one: version 00, trace id, span id, sampled."""
    if len(parent) == _TRACEPARENT and parent[2] == parent[35] == parent[52] == "-":
        return f"{parent[:36]}{_random.getrandbits(64):016x}-01"
    return f"00-{_random.getrandbits(128):032x}-{_random.getrandbits(64):016x}-01"


_TRACEPARENT = 55
_random = random.Random()  # noqa: S311 - ids of traces are no secrets, and the system's own costs a call into it


def pairs_of(headers: AnyHeaders) -> Pairs:
    """Headers as pairs, whichever client gave them."""
    return tuple(headers.items()) if isinstance(headers, Mapping) else headers or ()


def header(headers: AnyHeaders, name: str) -> str:
    """The last header of a name as text; empty where there is none."""
    for key, value in reversed(pairs_of(headers)):
        if key == name and value is not None:
            return value if isinstance(value, str) else value.decode("utf-8", "replace")
    return ""
