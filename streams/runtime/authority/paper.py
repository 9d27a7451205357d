"""What a service that acts for operators wants written, in the order in which it came to be; with its audit chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from schemas.records import AuditEntry, Record
from streams.runtime.authority.chain import START, Link, link_of, linked
from streams.runtime.books import AUDIT, Out


@dataclass(frozen=True, slots=True)
class Reason:
    """What made something happen."""

    actor: str
    code: str = ""
    detail: str = ""
    digest: bytes = b""
    """Of the record that did."""


class Paper:
    """Collects what is to be written; the audit chain goes on from `link`."""

    chain: ClassVar[str] = ""
    """The name of the chain (`AuditEntry.chain`): each service that writes one has its own."""

    def __init__(self, now_ms: Callable[[], int], link: Link = START) -> None:
        self._now_ms = now_ms
        self._outs: list[Out] = []
        self.link = link
        self.parent = ""
        """The trace of what is being handled."""

    def __len__(self) -> int:
        return len(self._outs)

    def take(self) -> list[Out]:
        """All that was collected since the last time."""
        outs, self._outs = self._outs, []
        return outs

    def put(self, topic: str, key: str, record: Record | None) -> None:
        """Write a record."""
        self._outs.append(Out(topic, key, record, self.parent))

    def audit(self, action: str, subject: str, why: Reason) -> None:
        """Write the next entry of the chain."""
        entry = AuditEntry(
            at=self._now_ms(),
            actor=why.actor,
            action=action,
            subject=subject,
            detail=why.detail,
            code=why.code,
            digest=why.digest,
            chain=self.chain,
        )
        entry = linked(entry, self.link)
        self.link = link_of(entry)
        self.put(AUDIT, subject, entry)
