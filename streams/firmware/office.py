"""The leader's work: the books opened, everything that comes in handled in order, and each batch written as one.

In which order, and why, says `streams.runtime.authority.inbox`. What cannot be read is a dead letter of `streams/commands`,
which reads the same topics.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import wait
from contextlib import ExitStack

import structlog
from confluent_kafka import TopicPartition

from schemas.records import AuditEntry, CampaignLedger, FirmwareManifest, Job, Record
from schemas.signatures import Signer
from streams.firmware.desk import Desk
from streams.firmware.fleet import Fleet
from streams.firmware.output import CAMPAIGNS, CHAIN
from streams.firmware.states import Meter
from streams.runtime import metrics
from streams.runtime.authority.chain import Link
from streams.runtime.authority.inbox import CONTROLS, OPERATORS, Inbox
from streams.runtime.authority.pinned import Pinned
from streams.runtime.authority.refusals import Refusal
from streams.runtime.books import Books
from streams.runtime.errors import TemporaryError
from streams.runtime.images import ImageStore
from streams.runtime.service import Runtime

_SILENT_S = 60.0


class _Patient:
    """The image store, asked by somebody who must show that he is alive while an image is fetched."""

    def __init__(self, runtime: Runtime, store: ImageStore) -> None:
        self._runtime = runtime
        self._store = store

    def judge(self, image_id: str) -> FirmwareManifest | Refusal:
        return self._store.judge(image_id)

    def value(self, image_id: str) -> bytes | None:
        return self._store.value(image_id)

    def data(self, image_id: str) -> bytes:
        found = self._store.fetch(image_id)
        while not found.done():
            self._runtime.health.progress()
            wait((found,), 1.0)
        return found.result()


class Office:
    """Open from its making; whatever fails, it is closed and another is opened."""

    def __init__(self, runtime: Runtime, fleet: Fleet, rules: Pinned, signer: Signer | None = None) -> None:
        self._runtime = runtime
        self._own = runtime.settings.firmware
        around = rules.around(runtime.codec, runtime.settings.environment)
        with ExitStack() as opened:
            self._books = Books(runtime, CAMPAIGNS, CHAIN, self._own.transaction_timeout_s, signer)
            opened.callback(self._books.close)
            self._images = ImageStore(runtime, around)
            opened.callback(self._images.stop)
            self._images.start()
            records = self._books.read()
            known = next((record for record in records if isinstance(record, CampaignLedger)), CampaignLedger())
            link = self._books.end_of_chain(Link(known.sequence, known.hash) if known.sequence else Link())
            self._desk = Desk(around, fleet, _Patient(runtime, self._images), self._own, runtime.clock, link)
            self._inbox = Inbox(runtime, self._desk, known.positions)
            opened.callback(self._inbox.close)
            self._inbox.relearn(self._books, OPERATORS, self._desk.operator)
            self._inbox.relearn(self._books, CONTROLS, self._desk.control)
            self._await_images()
            self._desk.restore(records)
            self._inbox.open()
            self._opened = opened.pop_all()
        log = structlog.get_logger("office")
        log.info("books-opened", campaigns=len(self._desk), audit_entries=link.sequence)

    def turn(self) -> int:
        """Handle what has come, and what time does; how many records there were. Errors as of `Books.write`."""
        self._images.check()
        came = self._inbox.work(self._own.batch_records, self._own.poll_s)
        # Results of others' jobs move nothing mostly: their positions can wait for something that does.
        if len(self._desk.paper) or self._desk.stirred or (came and self._inbox.late):
            self._write()
        return came

    @property
    def positions(self) -> list[TopicPartition]:
        """Up to where everything is handled, for whoever watches the lag."""
        return self._inbox.positions

    def close(self) -> None:
        """Let go of everything; what is not written yet never was."""
        self._opened.close()

    def _await_images(self) -> None:
        until = self._runtime.clock.monotonic() + _SILENT_S
        while not self._images.caught_up:
            self._images.check()
            self._runtime.health.progress()
            if self._runtime.stopping.wait(0.05) or self._runtime.clock.monotonic() > until:
                raise TemporaryError("hes.images could not be read to its end")

    def _write(self) -> None:
        for out in self._inbox.write(self._books):
            _count(out.record)
        self._observe()

    def _observe(self) -> None:
        states, meters = Counter[str](), Counter[Meter]()
        for case in self._desk.going:
            states[case.state.value] += 1
            meters += case.counts()
        metrics.CAMPAIGNS.clear()
        for state, count in states.items():
            metrics.CAMPAIGNS.labels(state).set(count)
        for meter in Meter:
            metrics.CAMPAIGN_METERS.labels(meter.value).set(meters[meter])


def _count(record: Record | None) -> None:
    """What is in Kafka is what is counted, once it is there."""
    if isinstance(record, AuditEntry) and record.code:
        metrics.CAMPAIGN_REFUSED.labels(record.code).inc()
    elif isinstance(record, Job):
        metrics.CAMPAIGN_JOBS.labels(record.operation.value).inc()
