"""The splitter as a service: batches of both lanes, routed and written, in the pattern that loses nothing."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.codec import Codec, CodecError
from schemas.registry import RegistryError
from streams.runtime import service
from streams.runtime.errors import TemporaryError
from streams.runtime.service import Runtime
from streams.runtime.settings import Settings
from streams.runtime.tracing import REPLAY, TRACE, Pairs, header, headers_of, pairs_of
from streams.runtime.worker import Event, LosslessWorker
from streams.split.route import LANES, Routed, route


class Splitter:
    """Routes batches of events; what no topic may hold goes to the dead letters."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._codec: Codec = runtime.codec

    def __call__(self, events: Sequence[Event]) -> None:
        """Send what each event becomes. `TemporaryError` while the registry is down."""
        passed = 0
        for event in events:
            try:
                routed = route(self._codec, event.value)
            except CodecError as error:
                message = event.message
                self._runtime.dead_letters.put_record(
                    error.code,
                    str(error),
                    message.topic,
                    message.partition,
                    message.offset,
                    event.key,
                    event.value,
                    event.headers,
                )
            except RegistryError as error:
                raise TemporaryError(str(error)) from error
            else:
                self._runtime.publisher.send(routed.topic, event.key, routed.value, self._headers(routed, event))
                passed += 1
        self._runtime.dead_letters.passed(passed)

    def _headers(self, routed: Routed, event: Event) -> list[tuple[str, str | bytes | None]]:
        """The event's own headers, since its bytes are its own; fresh ones for an acknowledgement."""
        came: Pairs = pairs_of(event.headers)
        if routed.ack is None:
            return list(came)
        return headers_of(
            routed.ack, source="split", at_ms=routed.ack.at, parent=header(came, TRACE), replay_id=header(came, REPLAY)
        )


def main(settings: Settings) -> int:
    """Run until SIGTERM; the exit code."""

    def body(runtime: Runtime) -> None:
        split = Splitter(runtime)
        own = settings.split
        LosslessWorker(
            runtime,
            dict.fromkeys(LANES, split),
            records=own.batch_records,
            wait_s=own.batch_wait_s,
            shutdown_s=own.shutdown_s,
        ).run()

    return service.run("split", settings, body)
