"""A Faust worker that loses nothing.

Faust owns the group, the rebalancing and the timers; librdkafka writes, idempotently. A batch is taken without
acknowledging it (`noack_take`), handled, flushed in a thread under a shield, and only then acknowledged, event by event.
An exception that left an agent would acknowledge what was not done, so there are two ways out of a batch only:
acknowledged in full, or the process ends at once and the batch is read again.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import faust
import structlog
import uvloop
from faust.types.auth import AuthProtocol

from streams.runtime import metrics
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.service import Runtime

Event = Any
"""A Faust event: raw `value` and `key` bytes, `headers`, and its `message` with topic, partition and offset."""
Handle = Callable[[Sequence[Event]], None]
"""Takes a batch of one topic in order, and sends by the runtime's publisher. As of `consumer.Handle`."""

_log = structlog.get_logger("worker")
_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_END_AT_ONCE = 1
_SHUTDOWN_TOOK_TOO_LONG = 70


class LosslessWorker:
    """Runs one handler a topic, in batches, until SIGTERM."""

    def __init__(
        self, runtime: Runtime, handlers: dict[str, Handle], *, records: int, wait_s: float, shutdown_s: float = 15.0
    ) -> None:
        self._runtime = runtime
        self._records = records
        self._wait_s = wait_s
        self._shutdown_s = shutdown_s
        # Lanes take turns: a delivery that failed must be told to the batch that it belongs to.
        self._flushing = threading.Lock()
        self._loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self._loop)
        self._app = self._new_app()
        for topic, handle in handlers.items():
            source = self._app.topic(topic, key_serializer="raw", value_serializer="raw")
            # Concurrency above one would commit past a message that is still in flight.
            self._app.agent(source, name=f"{runtime.service}.{topic}", concurrency=1)(self._agent(topic, handle))
        self._app.timer(1.0, on_leader=False)(self._watch)
        self._app.on_partitions_assigned.connect(self._assigned, weak=False)

    def run(self) -> None:
        """Until SIGTERM or SIGINT; `FatalError` where Faust ends otherwise."""
        self._app.finalize()
        self._app.worker_init()
        self._app.worker_init_post_autodiscover()
        worker = faust.Worker(self._app, loop=self._loop, quiet=True, override_logging=False, redirect_stdouts=False)
        worker.spinner = None
        self._loop.create_task(self._until_stopped())
        try:
            worker.execute_from_commandline()
        except SystemExit as end:
            if end.code not in (0, None):
                raise FatalError(f"the Faust worker ended with {end.code}") from end

    def _new_app(self) -> faust.App:
        kafka = self._runtime.settings.kafka
        return faust.App(
            self._runtime.group + kafka.group_suffix,
            broker=";".join(f"kafka://{host}" for host in kafka.bootstrap.split(",")),
            broker_credentials=_credentials(self._runtime),
            loop=self._loop,
            autodiscover=False,
            web_enabled=False,
            store="memory://",
            datadir=os.path.join(tempfile.gettempdir(), f"hes-{self._runtime.service}"),  # noqa: PTH118 - Faust wants a str
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=False,
            stream_buffer_maxsize=16_384,
            broker_max_poll_records=min(5_000, self._records),
            broker_session_timeout=kafka.session_timeout_s,
            broker_heartbeat_interval=kafka.session_timeout_s / 3,
            broker_commit_interval=0.5,
            consumer_auto_offset_reset="earliest",
            consumer_group_instance_id=f"{kafka.instance_id}-{self._runtime.service}" if kafka.instance_id else None,
        )

    def _agent(self, topic: str, handle: Handle) -> Callable[[Any], Awaitable[None]]:
        async def process(stream: Any) -> None:
            async for events in stream.noack_take(self._records, within=self._wait_s):
                batch = self._loop.create_task(self._batch(topic, handle, stream, list(events)))
                try:
                    await asyncio.shield(batch)
                except asyncio.CancelledError:
                    # A clean stop waits for the acknowledgements; without them the batch would be read and sent again.
                    await batch
                    raise

        return process

    async def _batch(self, topic: str, handle: Handle, stream: Any, events: list[Event]) -> None:
        """All of a batch or the end of the process: nothing in between."""
        began = self._runtime.clock.monotonic()
        try:
            await self._until_done(topic, handle, events)
            for event in events:
                await stream.ack(event)
        except BaseException as error:  # noqa: BLE001 - whatever leaves this method is acknowledged by Faust, and so lost
            _log.critical("ended", topic=topic, records=len(events), exc_info=error)
            os._exit(_END_AT_ONCE)
        self._runtime.health.progress()
        metrics.RECORDS_IN.labels(topic).inc(len(events))
        metrics.BATCH_RECORDS.observe(len(events))
        metrics.BATCH_SECONDS.observe(self._runtime.clock.monotonic() - began)

    async def _until_done(self, topic: str, handle: Handle, events: list[Event]) -> None:
        for tries in range(1_000_000):
            try:
                await self._loop.run_in_executor(None, self._handle_and_flush, handle, events)
            except TemporaryError as error:
                pause = _BACKOFF_S[min(tries, len(_BACKOFF_S) - 1)]
                metrics.RETRIES.labels(type(error.__cause__ or error).__name__).inc()
                _log.warning(
                    "batch-retried", topic=topic, records=len(events), tries=tries + 1, again_in_s=pause, reason=str(error)
                )
                if self._runtime.stopping.is_set():
                    os._exit(_END_AT_ONCE)
                await asyncio.sleep(pause)
            else:
                return

    def _handle_and_flush(self, handle: Handle, events: list[Event]) -> None:
        with self._flushing:
            handle(events)
            self._runtime.publisher.flush()

    async def _until_stopped(self) -> None:
        """Note Faust's own shutdown, and give it a limit: with a frozen broker it does not end by itself."""
        while not self._app.should_stop:  # noqa: ASYNC110 - Faust has a flag, no event
            await asyncio.sleep(0.1)
        self._runtime.stopping.set()
        self._runtime.health.not_ready()
        timer = threading.Timer(self._shutdown_s, os._exit, [_SHUTDOWN_TOOK_TOO_LONG])
        timer.daemon = True
        timer.start()

    async def _watch(self, _app: Any = None) -> None:
        """Having nothing to do is progress too; having something and not doing it is not."""
        consumer: Any = self._app.consumer
        for partition in consumer.assignment():
            end = consumer.highwater(partition)
            if end and end > (consumer._committed_offset.get(partition) or 0):  # noqa: SLF001 - Faust has no public name for it
                return
        self._runtime.health.progress()

    async def _assigned(self, *_: Any, **__: Any) -> None:
        _log.info("partitions-assigned", partitions=len(self._app.consumer.assignment()))
        self._runtime.health.ready()


def _credentials(runtime: Runtime) -> Any:
    kafka = runtime.settings.kafka
    if kafka.security_protocol == "PLAINTEXT":
        return None
    import ssl  # noqa: PLC0415 - only where TLS or SASL is set

    context = ssl.create_default_context(cafile=kafka.ca_file or None) if "SSL" in kafka.security_protocol else None
    if kafka.security_protocol == "SSL":
        return faust.SSLCredentials(context=context)
    credentials = faust.SASLCredentials(
        username=kafka.sasl_username,
        password=kafka.sasl_password.get_secret_value(),
        mechanism=kafka.sasl_mechanism,
        ssl_context=context,
    )
    if context is None:
        credentials.protocol = AuthProtocol.SASL_PLAINTEXT
    return credentials
