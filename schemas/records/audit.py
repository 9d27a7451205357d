"""What is kept for people to look at: who did what, and what could not be used."""

from __future__ import annotations

from dataclasses import field

from schemas.records.fields import Millis
from schemas.values import value_class


@value_class
class AuditEntry:
    """Who did what, chained by hash, on `hes.audit`."""

    id: str = ""
    sequence: int = 0
    at: Millis = 0
    actor: str = ""
    action: str = ""
    subject: str = ""
    detail: str = ""
    previous_hash: bytes = b""
    hash: bytes = b""
    code: str = ""  # why something was refused or failed
    digest: bytes = b""  # SHA-256 of the record that this is about, as it stood on its topic
    chain: str = ""  # whose chain it is an entry of: each fenced writer has one of its own; empty: that of commands


@value_class
class DeadLetter:
    """What could not be parsed, authenticated, mapped or delivered, with its bytes, on `hes.dead-letters`."""

    id: str = ""
    service: str = ""
    code: str = ""  # stable, one of docs/errors.md
    detail: str = ""  # what happened and what to do next, for a person
    topic: str = ""  # where it was consumed; empty where it came from a socket
    partition: int = -1
    offset: int = -1
    endpoint: str = ""
    meter_id: str = ""
    key: bytes | None = None
    headers: dict[str, bytes] = field(default_factory=dict)
    data: bytes = b""
    at: Millis = 0
    cut: bool = False  # data, key and headers are not all that there was; the rest stands at topic, partition and offset
