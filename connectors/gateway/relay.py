"""Meters that dialled in at another worker than the one that has their jobs: the connection is handed over, the job is not.

    meter ──TCP──▶ worker that it reached ══pipe══▶ worker that owns the partition of its jobs

A job, its offset and the invocation counters stay with the partition's owner, whatever door the meter came through. So the
worker that was reached becomes a pipe: once it knows the meter, has answered all that came and holds no half telegram, it
passes octets on, both ways, and the owner treats the pipe as the connection itself. Where the owner is, the consumer group
knows: a member's client id carries its address. Workers prove themselves to each other by a secret. When a
partition moves, its pipes are closed, and the meters dial in again.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import structlog

from connectors.gateway.push_listener import PushConnection
from schemas.records import Meter
from streams.runtime import metrics
from streams.runtime.clock import Clock
from streams.runtime.kafka import admin_client
from streams.runtime.settings import Kafka

_LONGEST_HELLO = 1_024
_HELLO_S, _CONNECT_S, _AGE_MS = 5.0, 5.0, 60_000
_LOOK_EVERY_S = 5.0
_TURNS, _TURN_S = 100, 0.02
"""How often, and how long, what came is given time to be answered."""
_MOST_WAITING = 1_000
"""Pipes that have not said yet whose they are."""
_MARK = "@"


class Owners(Protocol):
    """Who has which partition."""

    def owns(self, number: int) -> bool:
        """Whether it is this worker."""

    @property
    def partitions(self) -> int:
        """How many there are; 0 while nobody knows."""


@dataclass(frozen=True, slots=True)
class Member:
    """A worker of the group: its client id, and the numbers of its partitions."""

    client_id: str
    partitions: frozenset[int]


Members = Callable[[], Sequence[Member]]
"""Asks Kafka who is in the group; blocking."""


def client_id(name: str, host: str, port: int) -> str:
    """A client id that says where its worker takes pipes."""
    return f"{name}{_MARK}{host}{_MARK}{port}"


def members_of(settings: Kafka, group: str) -> Members:
    """The members of a consumer group, as Kafka describes it."""
    admin = admin_client(settings)

    def members() -> list[Member]:
        name = group + settings.group_suffix
        described = admin.describe_consumer_groups([name], request_timeout=_CONNECT_S)[name].result(_CONNECT_S * 2)
        return [
            Member(member.client_id, frozenset(part.partition for part in member.assignment.topic_partitions))
            for member in described.members
        ]

    return members


def address_in(client: str) -> tuple[str, int] | None:
    """Host and port in a client id; None where it says none."""
    _, _, rest = client.partition(_MARK)
    host, _, port = rest.rpartition(_MARK)
    return (host, int(port)) if host and port.isdecimal() and 0 < int(port) <= 65_535 else None


def partition_of(key: str, partitions: int) -> int:
    """The partition of a key: murmur2, as librdkafka, aiokafka and Java place it."""
    data = key.encode()
    m, mask = 0x5BD1E995, 0xFFFF_FFFF
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return ((h ^ h >> 15) & 0x7FFF_FFFF) % partitions


class Relay:
    """Both ends: pipes to other workers, and pipes from them. `adopt` makes a connection of ours of a pipe."""

    def __init__(
        self,
        clock: Clock,
        owners: Owners,
        members: Members,
        adopt: Callable[[], PushConnection],
        meter_of: Callable[[str], Meter | None],
        secret: bytes,
    ) -> None:
        self.clock = clock
        self._owners = owners
        self._members = members
        self._adopt = adopt
        self._meter_of = meter_of
        self._secret = secret
        self._known: Sequence[Member] = ()
        self._look_at = 0.0
        self._under_way: set[asyncio.Task[None]] = set()
        self._trying: set[PushConnection] = set()
        self._piped = 0
        self.waiting: set[_Inlet] = set()
        """Pipes that have not said yet whose they are."""
        self._log = structlog.get_logger("relay")

    def owned(self, meter_id: str) -> bool:
        """Whether a meter's jobs are this worker's."""
        count = self._owners.partitions
        return not count or self._owners.owns(partition_of(meter_id, count))

    def hand_over(self, connection: PushConnection, meter_id: str) -> None:
        """Have a connection handed to the worker that has the meter's jobs, if there is one and it can be reached."""
        if connection in self._trying or connection.piped:
            return
        if connection.adopted:
            connection.close(ours=True)  # it has been passed on already: the meter had better dial in again
            return
        self._trying.add(connection)
        task = asyncio.get_running_loop().create_task(self._hand_over(connection, meter_id))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def inlet(self) -> _Inlet:
        """The protocol of a pipe that another worker opens."""
        return _Inlet(self)

    def sweep(self) -> None:
        """Close pipes that do not say whose they are; about once a second."""
        now = self.clock.monotonic()
        for inlet in tuple(self.waiting):
            inlet.sweep(now)

    async def _hand_over(self, connection: PushConnection, meter_id: str) -> None:
        try:
            address = await self._address(meter_id)
            if address is None:
                return
            outlet = _Outlet(self, connection)
            async with asyncio.timeout(_CONNECT_S):
                transport, _ = await asyncio.get_running_loop().create_connection(lambda: outlet, *address)
            for _ in range(_TURNS):
                if connection.free and not connection.waits:
                    break
                await asyncio.sleep(_TURN_S)
            if not connection.free or connection.waits or not connection.pipe(outlet.write, transport.close):
                transport.close()  # at the next sweep
                return
            outlet.hello(self.hello(meter_id, connection))
            self._count(1)
            self._log.info("handed-over", meter=meter_id, endpoint=connection.endpoint)
        except (OSError, TimeoutError) as error:
            self._log.warning("not-handed-over", meter=meter_id, reason=str(error) or type(error).__name__)
        finally:
            self._trying.discard(connection)

    async def _address(self, meter_id: str) -> tuple[str, int] | None:
        count = self._owners.partitions
        if not count:
            return None
        now = self.clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_EVERY_S
            try:
                self._known = await asyncio.to_thread(self._members)
            except Exception as error:  # noqa: BLE001 - whatever it is, the meter stays where it is for now
                self._log.warning("members-unknown", reason=str(error))
        number = partition_of(meter_id, count)
        for member in self._known:
            if number in member.partitions and not self._owners.owns(number):
                return address_in(member.client_id)
        return None

    def hello(self, meter_id: str, connection: PushConnection) -> bytes:
        """What a pipe begins with: whose it is, and that a worker says so."""
        said = json.dumps([meter_id, connection.endpoint, connection.proven, self.clock.now_ms()]).encode()
        return base64.b64encode(said) + b" " + self._proof(said) + b"\n"

    def welcome(self, line: bytes) -> tuple[str, str, bool] | None:
        """Meter, endpoint and whether it is proven, of a hello; None where it is none of ours, or an old one."""
        try:
            text, _, proof = line.rstrip(b"\n").partition(b" ")
            said = base64.b64decode(text, validate=True)
            if not hmac.compare_digest(proof, self._proof(said)):
                return None
            meter_id, endpoint, proven, at = json.loads(said)
        except ValueError:
            return None
        return None if abs(self.clock.now_ms() - at) > _AGE_MS else (meter_id, endpoint, proven)

    def adopted(self, transport: asyncio.Transport, meter_id: str, endpoint: str, *, proven: bool) -> PushConnection | None:
        """A pipe is a connection of ours from now on; None where the meter's jobs are not ours (any more)."""
        if not self.owned(meter_id):
            return None
        connection = self._adopt()
        transport.set_protocol(connection)
        connection.adopt(transport, endpoint, self._meter_of(meter_id), proven=proven)
        return connection

    def _proof(self, said: bytes) -> bytes:
        return hmac.new(self._secret, said, hashlib.sha256).hexdigest().encode()

    def _count(self, more: int) -> None:
        self._piped += more
        metrics.RELAYED.set(self._piped)

    def ended(self) -> None:
        """A pipe of ours has ended."""
        self._count(-1)


class _Outlet(asyncio.Protocol):
    """Our end of a pipe to the owner: what comes from there goes to the meter."""

    def __init__(self, relay: Relay, connection: PushConnection) -> None:
        self._relay = relay
        self._connection = connection
        self._transport: asyncio.Transport | None = None
        self._piped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: the owner took the connection."""
        self._transport = cast("asyncio.Transport", transport)

    def hello(self, line: bytes) -> None:
        """Say whose it is; from now on it is a pipe."""
        self._piped = True
        self.write(line)

    def write(self, data: bytes) -> None:
        """Pass octets of the meter on."""
        if self._transport is not None:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        """asyncio's: octets for the meter."""
        self._connection.write(data)

    def pause_writing(self) -> None:
        """asyncio's: the owner does not keep up."""
        self._connection.press(self._relay.clock.monotonic(), full=True)

    def resume_writing(self) -> None:
        """asyncio's: it does again."""
        self._connection.press(self._relay.clock.monotonic(), full=False)

    def connection_lost(self, _exc: Exception | None) -> None:
        """asyncio's: the owner hung up, or is gone: the meter dials in again."""
        if self._piped:
            self._piped = False
            self._relay.ended()
            self._connection.close()


class _Inlet(asyncio.Protocol):
    """A pipe from another worker until it has said whose it is."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._transport: Any = None
        self._heard = b""
        self._until = relay.clock.monotonic() + _HELLO_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: somebody connected."""
        self._transport = transport
        if len(self._relay.waiting) >= _MOST_WAITING:
            self._transport.abort()
        else:
            self._relay.waiting.add(self)

    def data_received(self, data: bytes) -> None:
        """asyncio's: octets, of the hello first."""
        self._heard += data
        line, end, rest = self._heard.partition(b"\n")
        if not end and len(self._heard) <= _LONGEST_HELLO:
            return
        self._relay.waiting.discard(self)
        said = self._relay.welcome(line) if end and len(line) <= _LONGEST_HELLO else None
        connection = None
        if said is not None:
            connection = self._relay.adopted(self._transport, said[0], said[1], proven=said[2])
        if connection is None:
            self._transport.abort()
        elif rest:
            connection.data_received(rest)

    def connection_lost(self, _exc: Exception | None) -> None:
        """asyncio's: it is gone."""
        self._relay.waiting.discard(self)

    def sweep(self, now: float) -> None:
        """Give it up where it takes too long."""
        if now >= self._until:
            self._transport.abort()
