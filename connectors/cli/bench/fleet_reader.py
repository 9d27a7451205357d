"""A lean reader of many meters at once: one protocol object a connection, callbacks only, the library's own sessions.

What a session yields is written with eight octets before it; what comes is cut by those eight octets and sent in. There
is no task a session, only one a slot of concurrency, and it sleeps while a session runs. What sessions bring is put aside
and finished `BATCH` at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from connectors.protocols.dlms.client_apdus import CLOSED, Session

_HEADER = 8
BATCH = 256
_NOTIFICATIONS = (0x0F, 0xC2)


class LeanLink(asyncio.Protocol):
    """One connection through the wrapper that runs one session and closes. `ended` gets the result and the error."""

    __slots__ = ("_buffer", "_ended", "_head", "_session", "_transport", "busy_since")

    def __init__(
        self, client: int, server: int, session: Session[Any], ended: Callable[[Any, Exception | None], None]
    ) -> None:
        self._head = b"\x00\x01" + client.to_bytes(2, "big") + server.to_bytes(2, "big")
        self._session: Session[Any] | None = session
        self._ended = ended
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.busy_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but inheritance
        self._advance(None)

    def data_received(self, data: bytes) -> None:
        """Answers; mostly one whole answer at a time."""
        if self._buffer:
            data = self._buffer + data
        while len(data) >= _HEADER:
            end = _HEADER + (data[6] << 8 | data[7])
            if data[:2] != b"\x00\x01":
                self._end(None, ConnectionError("what came is no wrapper frame"))
                return
            if len(data) < end:
                break
            apdu, data = data[_HEADER:end], data[end:]
            if apdu[0] not in _NOTIFICATIONS:
                self._advance(apdu)
        self._buffer = data

    def connection_lost(self, exc: Exception | None) -> None:
        """The session is told; what it makes of it is its end."""
        if self._session is not None:
            self._advance(CLOSED)
        if self._session is not None:
            self._end(None, exc or ConnectionError("the meter closed the connection"))

    def abandon(self) -> None:
        """No answer in time."""
        self._end(None, TimeoutError("no answer in time"))

    def _advance(self, apdu: bytes | None) -> None:
        session, transport = self._session, self._transport
        if session is None or transport is None:
            return
        try:
            out = session.send(apdu)  # type: ignore[arg-type]  # a generator is started with None
        except StopIteration as stop:
            self._end(stop.value, None)
        except Exception as error:  # noqa: BLE001 - counted by whoever runs the session, and told
            self._end(None, error)
        else:
            if out:
                self.busy_since = time.monotonic()
                transport.write(self.framed(out))

    def framed(self, out: bytes) -> bytes:
        """What a session yields, as it is sent."""
        return self._head + len(out).to_bytes(2, "big") + out

    def _end(self, result: Any, error: Exception | None) -> None:
        self._session = None
        if self._transport is not None:
            self._transport.close()
        self._ended(result, error)


@dataclass(frozen=True, slots=True)
class Visit:
    """A meter to be read."""

    host: str
    port: int
    client: int
    server: int
    begin: Callable[[], Session[Any]]
    """A new session with it."""
    finish: Finish
    """What is done with what sessions brought; visits that share it are finished together."""
    note: Any = None
    """For `finish`."""
    link: type[LeanLink] = LeanLink
    """What frames the session's octets."""


Finish: TypeAlias = "Callable[[Sequence[tuple[Visit, Any]]], Iterable[int | Exception]]"
"""Makes rows of what sessions brought: how many each, or what is wrong with it."""


@dataclass(slots=True)
class Tally:
    """What a run came to."""

    sessions: int = 0
    rows: int = 0
    failed: int = 0
    first_failure: str = ""
    _brought: list[tuple[Visit, Any]] = field(default_factory=list)

    def bring(self, visit: Visit, result: Any) -> None:
        """A session has ended well."""
        self._brought.append((visit, result))
        if len(self._brought) >= BATCH:
            self.finish()

    def finish(self) -> None:
        """Make rows of what was put aside."""
        together: dict[Finish, list[tuple[Visit, Any]]] = {}
        for brought in self._brought:
            together.setdefault(brought[0].finish, []).append(brought)
        self._brought.clear()
        for finish, some in together.items():
            for (visit, _), rows in zip(some, finish(some), strict=True):
                if isinstance(rows, Exception):
                    self.fail(visit, rows)
                else:
                    self.rows += rows
                    self.sessions += 1

    def fail(self, visit: Visit, error: Exception) -> None:
        """Count a session that did not bring what was wanted."""
        self.failed += 1
        self.first_failure = self.first_failure or f"{visit.host}:{visit.port}: {error}"


async def read_all(visits: list[Visit], sessions: int, concurrency: int, timeout_s: float = 20.0) -> Tally:
    """Visit round and round until so many sessions have ended, so many at a time."""
    tally = Tally()
    order = iter(range(sessions))
    links: dict[int, LeanLink] = {}
    slots = [_slot(slot, visits, order, tally, links) for slot in range(min(concurrency, sessions))]
    watch = asyncio.create_task(_watch(links, timeout_s))
    try:
        await asyncio.gather(*slots)
    finally:
        watch.cancel()
    tally.finish()
    return tally


async def _slot(slot: int, visits: list[Visit], order: Any, tally: Tally, links: dict[int, LeanLink]) -> None:
    loop = asyncio.get_running_loop()
    for number in order:
        visit = visits[number % len(visits)]
        done: asyncio.Future[None] = loop.create_future()

        def ended(result: Any, error: Exception | None, visit: Visit = visit, done: asyncio.Future[None] = done) -> None:
            if error is None:
                tally.bring(visit, result)
            else:
                tally.fail(visit, error)
            if not done.done():
                done.set_result(None)

        link = links[slot] = visit.link(visit.client, visit.server, visit.begin(), ended)
        try:
            await loop.create_connection(lambda link=link: link, visit.host, visit.port)  # type: ignore[misc]  # the default binds each turn's link
        except OSError as error:
            tally.fail(visit, error)
            continue
        await done


async def _watch(links: dict[int, LeanLink], timeout_s: float) -> None:
    while True:
        await asyncio.sleep(1)
        late = time.monotonic() - timeout_s
        for link in list(links.values()):
            if 0 < link.busy_since < late:
                link.abandon()
