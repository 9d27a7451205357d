"""The splitter as a service: both lanes, each with a consumer, a thread and a producer of its own, so that neither waits for
the other and a delivery that fails is told to the lane that it belongs to.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from confluent_kafka import Message

from schemas.codec import Codec, CodecError
from schemas.registry import RegistryError
from streams.runtime import service
from streams.runtime.dead_letters import DeadLetters
from streams.runtime.errors import TemporaryError
from streams.runtime.kafka import Publisher
from streams.runtime.overlap import Limits, OverlappedLoop
from streams.runtime.service import Runtime
from streams.runtime.settings import Settings
from streams.runtime.tracing import REPLAY, TRACE, AnyHeaders, Headers, header, headers_of, pairs_of
from streams.runtime.worker import Event, LosslessWorker
from streams.split.forward import Forwarder
from streams.split.route import LANES, route


class Splitter:
    """Routes batches of events; what no topic may hold goes to the dead letters."""

    def __init__(self, codec: Codec, publisher: Publisher, letters: DeadLetters) -> None:
        self._codec = codec
        self._publisher = publisher
        self._letters = letters
        self._topics: dict[bytes, str] = {}
        """Topic by the octets that come before an Avro body, of what is passed on as it is."""

    def handle(self, messages: Sequence[Message]) -> None:
        """Send what each record becomes. `TemporaryError` while the registry is down."""
        passed = 0
        for message in messages:
            key, value, headers = message.key(), message.value(), message.headers()
            if refused := self._sent(key, value, headers):
                self._letters.put_message(refused.code, str(refused), message)
            else:
                passed += 1
        self._letters.passed(passed)

    def handle_events(self, events: Sequence[Event]) -> None:
        """The same for Faust's events."""
        passed = 0
        for event in events:
            if refused := self._sent(event.key, event.value, event.headers):
                came = event.message
                self._letters.put_record(
                    refused.code,
                    str(refused),
                    came.topic,
                    came.partition,
                    came.offset,
                    event.key,
                    event.value,
                    event.headers,
                )
            else:
                passed += 1
        self._letters.passed(passed)

    def _sent(self, key: bytes | str | None, value: bytes | None, headers: AnyHeaders) -> CodecError | None:
        """Send what a record becomes; why not, where it becomes nothing."""
        prefix = (value or b"")[:_PREFIX]
        if (topic := self._topics.get(prefix)) is not None:
            self._publisher.send(topic, key, value, _own(headers))
            return None
        try:
            routed = route(self._codec, value)
        except CodecError as error:
            return error
        except RegistryError as error:
            raise TemporaryError(str(error)) from error
        if routed.ack is None:
            self._topics[prefix] = routed.topic
            own = _own(headers)
        else:
            trace, replay_id = header(headers, TRACE), header(headers, REPLAY)
            own = headers_of(routed.ack, source="split", at_ms=routed.ack.at, parent=trace, replay_id=replay_id)
        self._publisher.send(routed.topic, key, routed.value, own)
        return None


def _own(headers: AnyHeaders) -> Headers:
    """The headers of what is passed on: its octets are its own, so are its headers."""
    return headers if isinstance(headers, list) else list(pairs_of(headers))


_PREFIX = 5
_FETCH = 262_144


def main(settings: Settings) -> int:
    """Run until SIGTERM; the exit code."""
    return service.run("split", settings, _by_faust if settings.split.engine == "faust" else _by_librdkafka)


def _by_librdkafka(runtime: Runtime) -> None:
    """A thread a lane; where one ends with an error, so does the process."""
    own = runtime.settings.split
    urgent = Limits(own.batch_records, own.batch_octets, own.batch_wait_s)
    bulk = Limits(own.batch_records, own.batch_octets, own.bulk_wait_s, _FETCH, own.bulk_wait_s)
    errors: list[Exception] = []

    def follow(lane: str, limits: Limits) -> None:
        name = lane.rpartition(".")[2]
        publisher = Forwarder(runtime.settings.kafka, f"hes-split-{name}")
        letters = DeadLetters(publisher, runtime.codec, runtime.service, runtime.clock, runtime.settings.dead_letters)
        splitter = Splitter(runtime.codec, publisher, letters)
        try:
            OverlappedLoop(runtime, [lane], [splitter.handle], limits, publisher, name).run()
        except Exception as error:  # noqa: BLE001 - told by the main thread
            errors.append(error)
            runtime.stopping.set()
        finally:
            publisher.close()

    lanes = zip(LANES, (urgent, bulk), strict=True)
    threads = [threading.Thread(target=follow, args=lane, name=lane[0]) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _by_faust(runtime: Runtime) -> None:
    own = runtime.settings.split
    split = Splitter(runtime.codec, runtime.publisher, runtime.dead_letters).handle_events
    LosslessWorker(
        runtime,
        dict.fromkeys(LANES, split),
        records=min(own.batch_records, 2_000),
        wait_s=own.batch_wait_s,
        shutdown_s=own.shutdown_s,
    ).run()
