"""A service that turns records of one topic into records of another, one to at most one, by a pure function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from confluent_kafka import Message

from schemas.codec import CodecError
from schemas.records import Record
from schemas.registry import RegistryError
from streams.runtime.consumer import BatchLoop
from streams.runtime.errors import TemporaryError
from streams.runtime.service import Runtime
from streams.runtime.tracing import REPLAY, REPLAY_TO, TRACE, header, headers_of


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to write."""

    topic: str
    key: str
    record: Record
    at_ms: int


Convert = Callable[[Record], Outgoing | None]
"""What a record becomes; None where it is of no interest. `CodecError` where it is none that the topic may hold."""


class Router:
    """Routes one topic. Replayed records go on only where the replay names this service (rule 12)."""

    def __init__(
        self, runtime: Runtime, source: str, convert: Convert, *, records: int = 2_000, wait_s: float = 0.05
    ) -> None:
        self._runtime = runtime
        self._convert = convert
        self._loop = BatchLoop(runtime, [source], self.handle, records=records, wait_s=wait_s)

    def run(self) -> None:
        """Until asked to stop."""
        self._loop.run()

    def handle(self, messages: Sequence[Message]) -> None:
        """Send what each record becomes; a record that cannot be read is a dead letter, and the rest goes on."""
        for message in messages:
            if self._is_foreign_replay(message):
                continue
            try:
                outgoing = self._convert(self._runtime.codec.decode(message.value()))
            except CodecError as error:
                self._runtime.dead_letters.put_message(error.code, str(error), message)
            except RegistryError as error:
                raise TemporaryError(str(error)) from error
            else:
                if outgoing is not None:
                    self._send(outgoing, message)
        self._runtime.dead_letters.passed(len(messages))

    def _is_foreign_replay(self, message: Message) -> bool:
        headers = message.headers()
        wanted = header(headers, REPLAY_TO).split(",")
        return bool(header(headers, REPLAY)) and self._runtime.service not in wanted

    def _send(self, outgoing: Outgoing, message: Message) -> None:
        came = message.headers()
        headers = headers_of(
            outgoing.record,
            source=self._runtime.service,
            at_ms=outgoing.at_ms,
            parent=header(came, TRACE),
            replay_id=header(came, REPLAY),
        )
        self._runtime.publisher.send(outgoing.topic, outgoing.key, self._runtime.codec.encode(outgoing.record), headers)
