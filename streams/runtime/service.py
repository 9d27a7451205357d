"""From settings to a running service: what each one is given, and how each one ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING

import structlog

from schemas.codec import Codec
from schemas.records import RECORDS
from schemas.registry import RegistryError, RemoteRegistry
from streams.runtime import logging, tracing
from streams.runtime.clock import Clock, SystemClock
from streams.runtime.dead_letters import DeadLetters
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.health import HealthServer
from streams.runtime.kafka import Publisher
from streams.runtime.settings import Settings

if TYPE_CHECKING:
    from streams.runtime.spans import Spans

_REGISTRY_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a service works with."""

    service: str
    settings: Settings
    clock: Clock
    codec: Codec
    publisher: Publisher
    dead_letters: DeadLetters
    health: HealthServer
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def group(self) -> str:
        """The consumer group of the service, as topology.yaml names it."""
        return f"hes-{self.service}"


def open_runtime(service: str, settings: Settings, *, limit_dead_letters: bool = True) -> Runtime:
    """Connect to what a service needs. `FatalError` where the registry stays away or lacks this release's schemas.

    A service that listens to sockets passes `limit_dead_letters=False`: noise from outside must not be able to stop it.
    """
    clock = SystemClock()
    codec = _codec(settings, clock)
    publisher = Publisher(settings.kafka, f"hes-{service}")
    limit = settings.dead_letters if limit_dead_letters else None
    return Runtime(
        service=service,
        settings=settings,
        clock=clock,
        codec=codec,
        publisher=publisher,
        dead_letters=DeadLetters(publisher, codec, service, clock, limit),
        health=HealthServer(settings.health, clock),
    )


def run(service: str, settings: Settings, body: Callable[[Runtime], None], *, limit_dead_letters: bool = True) -> int:
    """Run a service in the foreground until SIGTERM or SIGINT; the process's exit code.

    0 ended as asked; 1 something unexpected, nothing committed that was not done; 3 a dependency could not be reached.
    """
    logging.configure(service, settings.log)
    log = structlog.get_logger("service")
    try:
        runtime = open_runtime(service, settings, limit_dead_letters=limit_dead_letters)
        spans = _spans(service, settings)
    except (FatalError, TemporaryError) as error:
        log.error("cannot-start", reason=str(error))  # noqa: TRY400 - the sentence says it all; a traceback hides it
        return 3

    stop_when_asked(runtime.stopping, log)
    tracing.export_to(spans)
    try:
        runtime.health.start()
    except OSError as error:
        where = f"{settings.health.host}:{settings.health.port}"
        log.error("cannot-start", reason=f"health.port cannot be opened at {where}: {error.strerror}")  # noqa: TRY400 - as above
        return 3
    log.info("started", pid=os.getpid(), health_port=runtime.health.port, environment=settings.environment)
    try:
        body(runtime)
    except FatalError as error:
        log.critical("ended", reason=str(error))
        return 1
    except Exception:  # the last line of defence: say what happened, commit nothing, let the orchestrator start us again
        log.exception("ended-unexpectedly")
        return 1
    finally:
        runtime.health.not_ready()
        runtime.health.stop()
        if spans is not None:
            spans.close()
    runtime.publisher.close()
    log.info("stopped")
    return 0


def stop_when_asked(stopping: threading.Event, log: structlog.stdlib.BoundLogger) -> None:
    """SIGTERM and SIGINT set `stopping`, from a thread: a handler runs wherever the main thread stands, which may be in the
    midst of the event's lock or of a log line, and neither can be entered again. SimpleQueue's put can.
    """
    asked: SimpleQueue[int] = SimpleQueue()
    signal.signal(signal.SIGTERM, lambda number, _: asked.put(number))
    signal.signal(signal.SIGINT, lambda number, _: asked.put(number))

    def listen() -> None:
        while True:
            number = asked.get()
            log.info("stopping", signal=signal.Signals(number).name)
            stopping.set()

    threading.Thread(target=listen, name="signals", daemon=True).start()


def _spans(service: str, settings: Settings) -> Spans | None:
    if not settings.tracing.endpoint:
        return None
    try:
        from streams.runtime.spans import Spans  # noqa: PLC0415 - the SDK is an extra
    except ImportError as error:
        raise FatalError(f"tracing.endpoint is set, and {error.name} is not installed: install hes[tracing]") from error
    return Spans(service, settings.environment, settings.tracing)


def _codec(settings: Settings, clock: Clock) -> Codec:
    """A codec with every schema id at hand, so that a registry that goes away later stops nothing that is known."""
    codec = Codec(RemoteRegistry(settings.registry.url))
    until = clock.monotonic() + _REGISTRY_PATIENCE_S
    waiting, said = threading.Event(), False
    while True:
        try:
            for record in RECORDS.values():
                codec.id_of(record)
        except RegistryError as error:
            if not error.retry or clock.monotonic() > until:
                raise FatalError(str(error)) from error
            if not said:  # a minute of silence looks like a service that hangs
                structlog.get_logger("service").warning("waiting", reason=str(error), seconds=_REGISTRY_PATIENCE_S)
                said = True
            waiting.wait(1.0)
        else:
            return codec
