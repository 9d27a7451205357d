"""Kafka headers: CloudEvents in binary mode, a W3C trace context, and the mark of a replay."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any, Protocol

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
        (TRACE, (child_of(parent) if _spans is None else _span_of(_spans, record, at_ms, parent)).encode()),
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


class SpanSink(Protocol):
    """Takes spans: see `spans.Spans`."""

    def sent(self, what: str, parent: str, began_ms: int, ended_ms: int, attributes: Mapping[str, str | int]) -> str:
        """A span for a record that is about to be sent; the traceparent that the record is to carry."""

    def done(self, topic: str, parent: str, began_ms: int, ended_ms: int, attributes: Mapping[str, str | int]) -> None:
        """A span for a record that was taken from a topic and whose effects are durable."""


def export_to(sink: SpanSink | None) -> None:
    """From now on, where spans of this process go; None is nowhere."""
    global _spans  # noqa: PLW0603 - one process is one service, and headers are made in a hundred places
    _spans = sink


class Taken(Protocol):
    """A record that was taken from a topic, as the Kafka client gives it."""

    def topic(self) -> str | None:
        """Its topic."""

    def partition(self) -> int | None:
        """Its partition."""

    def offset(self) -> int | None:
        """Where in the partition it stands."""

    def headers(self) -> Any:
        """Its headers."""


def tell_done(taken: Iterable[Taken], began_ms: int, ended_ms: int) -> None:
    """The spans of records whose effects are durable, of those whose trace is sampled."""
    if _spans is None:
        return
    for one in taken:
        parent = header(one.headers(), TRACE)
        if parent.endswith(_SAMPLED):
            topic = one.topic() or ""
            where: dict[str, str | int] = {"messaging.destination.name": topic, "messaging.kafka.offset": one.offset() or 0}
            where["messaging.destination.partition.id"] = str(one.partition())
            _spans.done(topic, parent, began_ms, ended_ms, where)


def child_of(parent: str) -> str:
    """A traceparent of the parent's trace, or of a new one that nobody samples: version 00, trace id, span id, flags."""
    if len(parent) == _TRACEPARENT and parent[2] == parent[35] == parent[52] == "-":
        return f"{parent[:36]}{_random.getrandbits(64):016x}{parent[52:]}"
    return f"00-{_random.getrandbits(128):032x}-{_random.getrandbits(64):016x}-00"


def _span_of(spans: SpanSink, record: Record, at_ms: int, parent: str) -> str:
    """The traceparent of a record, with its span told: from the record's own beginning where it has one."""
    about = {"hes.id": str(getattr(record, "id", "")), "hes.meter": str(getattr(record, "meter_id", ""))}
    if code := getattr(record, "code", ""):
        about["hes.code"] = str(code)
    began = getattr(record, "started_at", None) or at_ms
    return spans.sent(type(record).__name__, parent, min(began, at_ms), at_ms, about)


_spans: SpanSink | None = None
_SAMPLED = "-01"


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
