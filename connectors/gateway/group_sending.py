"""Groups: the rooms of a worker (`group_blocks`), the address that each sends to, and the counters that it sends under.

    transfer at its blocks ─▶ enter ─▶ room of its image, keys and block size ──tick: blocks, paced─▶ datagrams to the group
                                └─▶ None: no group here, not ours to send, no counter now, or nobody heard it lately

A counter must never come twice under one key, whatever the group: so counters go by the key (its mark), not by the segment,
and only the worker that has the partition on which the key's name falls sends under it. The others bring blocks one by one.
A block goes over the air once, so its octets are counted once, by the segment's band, as those of a transfer are.

Blocks do not say of which image they are. So in a segment with a group no transfer of one image begins while blocks of
another are sent, and none are sent while another image is on its way to a meter there; as far as this worker knows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import structlog

from connectors.gateway.errors import JobError
from connectors.gateway.group_blocks import Phase, Room, Rules, Seat
from connectors.gateway.group_socket import Sender, UdpSender
from connectors.gateway.relay import partition_of
from connectors.gateway.reservations import Counting, Reservations
from connectors.protocols.dlms.ciphering import Keys
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.meter_keys import mark
from schemas.records import Meter
from streams.runtime import metrics
from streams.runtime.clock import Clock
from streams.runtime.group_settings import Group

_AT_ONCE = 16
"""Blocks of one tick: more at once than a small stack's buffer would be lost."""
_HARMLESS = (Phase.GATHERING, Phase.OVER)
_STUCK_MS = 60_000
"""How long a block is tried that does not go: the counters that it needs may not be in Kafka yet."""
_DEAF_MS = 3_600_000
"""How long a group that nobody heard is left alone."""


@dataclass(frozen=True, slots=True)
class Shipment:
    """What a room sends, and under what: transfers that differ in any of it have rooms of their own."""

    segment: str
    image: str
    transfer: str
    """Logical name of the image transfer object."""
    count: int
    """Blocks."""
    block_size: int
    keys: Keys | None
    """None where blocks go in clear."""

    @property
    def name(self) -> str:
        """Under which counters are reserved, and by which it falls on a worker."""
        return f"group/{self.segment if self.keys is None else mark(self.keys.ek)}"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a room knows of a transfer in it."""

    goes: Callable[[], bool]
    """Whether it may go on: not halted, frozen, expired or broken off."""
    spent: Callable[[int], float]
    """So many octets went over the line of its segment: how long to rest, seconds."""


@dataclass(slots=True, eq=False)
class _Hall:
    """A room and what it sends by."""

    shipment: Shipment
    room: Room
    datagram: Callable[[int, int], bytes]
    sender: Sender
    partition: int
    counting: Counting | None
    standings: dict[Seat, Standing] = field(default_factory=dict)
    rest_until: float = 0.0
    tried_at: int | None = None
    """Since when no block could be sent that was due."""


@dataclass(frozen=True, slots=True)
class Member:
    """A transfer's place in a room."""

    room: Room
    seat: Seat
    came: int
    """Blocks that the room had sent by then."""


class Groups:
    """All groups as one worker has them. On the event loop. `owns` says whether a partition is this worker's, `partitions`
    how many there are.
    """

    def __init__(
        self,
        settings: Mapping[str, Group],
        clock: Clock,
        counters: Reservations,
        owns: Callable[[int], bool],
        partitions: Callable[[], int],
        sender: Callable[[Group], Sender] = UdpSender,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._counters = counters
        self._owns = owns
        self._partitions = partitions
        self._sender = sender
        self._halls: dict[Shipment, _Hall] = {}
        self._under_way: Counter[tuple[str, str]] = Counter()
        self._deaf_until: dict[tuple[str, str], float] = {}
        self._said: set[tuple[str, str]] = set()
        self._log = structlog.get_logger("groups")

    def of(self, meter: Meter) -> Group | None:
        """The group that a meter hears; None where it hears none."""
        return self._settings.get(meter.segment) if meter.segment else None

    def turn(self, segment: str, image: str) -> bool:
        """Whether a transfer of this image may begin there: no blocks of another are being sent."""
        return not any(
            hall.shipment.segment == segment and hall.shipment.image != image and hall.room.phase not in _HARMLESS
            for hall in self._halls.values()
        )

    @contextmanager
    def bringing(self, segment: str, image: str) -> Iterator[None]:
        """While a transfer of this image is under way there, blocks of no other one are sent to its group."""
        self._under_way[segment, image] += 1
        try:
            yield
        finally:
            self._under_way[segment, image] -= 1
            if not self._under_way[segment, image]:
                del self._under_way[segment, image]

    async def enter(
        self, shipment: Shipment, lacks: int, standing: Standing, datagram: Callable[[int, int], bytes]
    ) -> Member | None:
        """A place in the room; None where blocks come one by one. `datagram` makes one of a block and a counter, which is 0
        where nothing is counted; the first to come has it used.
        """
        hall = self._halls.get(shipment) or await self._opened(shipment, datagram)
        if hall is None or hall.room.phase is Phase.OVER:
            return None
        seat = hall.room.enter(lacks)
        hall.standings[seat] = standing
        return Member(hall.room, seat, hall.room.sent)

    def once(self, segment: str, what: str, **more: str) -> None:
        """Say why meters of a segment get their blocks by themselves; once each."""
        if (segment, what) not in self._said:
            self._said.add((segment, what))
            self._log.info(what, segment=segment, **more)

    def tick(self, now_ms: int) -> None:
        """Send what is due; several times a second."""
        for shipment, hall in list(self._halls.items()):
            try:
                self._look(hall, now_ms)
            except (OSError, DlmsError, JobError) as error:
                why = str(error.strerror or error) if isinstance(error, OSError) else f"{error.code}: {error.detail}"
                self._log.warning("group-not-sent", segment=shipment.segment, reason=why)
                hall.room.end()
            if hall.room.phase is Phase.OVER:
                self._close(hall, now_ms)

    def _look(self, hall: _Hall, now_ms: int) -> None:
        room, shipment = hall.room, hall.shipment
        for seat, standing in list(hall.standings.items()):
            if not room.has(seat) or not standing.goes():
                room.leave(seat)
                del hall.standings[seat]
        if not self._owns(hall.partition):
            room.end()
        room.look(now_ms, clear=self._clear(shipment))
        for _ in range(_AT_ONCE):
            number = room.block()
            if number is None or now_ms < hall.rest_until:
                return
            octets = self._send(hall, number, now_ms)
            if not octets:
                return
            room.went()
            metrics.GROUP_BLOCKS.labels("all").inc()
            metrics.GROUP_OCTETS.inc(octets)
            hall.rest_until = now_ms + 1_000 * next(iter(hall.standings.values())).spent(octets)

    def _send(self, hall: _Hall, number: int, now_ms: int) -> int:
        """Send a block: octets; 0 where it is to be tried again, since the socket is full or no counter is reserved yet.
        A counter whose datagram did not go is passed over.
        """
        try:
            counter = 0 if hall.counting is None else hall.counting.next()
        except JobError as error:
            hall.tried_at = now_ms if hall.tried_at is None else hall.tried_at
            if not error.retry or now_ms - hall.tried_at > _STUCK_MS:
                raise
            return 0
        datagram = hall.datagram(number, counter)
        hall.tried_at = None
        return len(datagram) if hall.sender.send(datagram) else 0

    def _clear(self, shipment: Shipment) -> bool:
        return not any(
            segment == shipment.segment and image != shipment.image for segment, image in self._under_way
        ) and self.turn(shipment.segment, shipment.image)

    async def _opened(self, shipment: Shipment, datagram: Callable[[int, int], bytes]) -> _Hall | None:
        """A new room."""
        segment, name = shipment.segment, shipment.name
        if self._clock.now_ms() < self._deaf_until.get((segment, name), 0.0):
            return None
        count = self._partitions()
        partition = partition_of(name, count) if count else -1
        if partition < 0 or not self._owns(partition):
            self.once(segment, "group-elsewhere", reason=f"another worker has the partition of {name}: blocks go one by one")
            return None
        counting: Counting | None = None
        try:
            if shipment.keys is not None:
                group = self._settings[segment]
                counting = await self._counters.counting(partition, Meter(id=name, key_ref=name), group.client, None)
            if shipment not in self._halls:  # somebody else may have opened it meanwhile
                self._halls[shipment] = self._hall(shipment, datagram, partition, counting)
        except (JobError, OSError) as error:
            why = error.detail if isinstance(error, JobError) else str(error.strerror or error)
            self._log.warning("group-not-opened", segment=segment, reason=why)
            return None
        return self._halls[shipment]

    def _hall(
        self, shipment: Shipment, datagram: Callable[[int, int], bytes], partition: int, counting: Counting | None
    ) -> _Hall:
        group = self._settings[shipment.segment]
        room = Room(Rules.of(group), self._clock.now_ms())
        return _Hall(shipment, room, datagram, self._sender(group), partition, counting)

    def _close(self, hall: _Hall, now_ms: int) -> None:
        room, shipment = hall.room, hall.shipment
        hall.sender.close()
        del self._halls[shipment]
        if not room.sent:
            return
        self._log.info("group-sent", segment=shipment.segment, image=shipment.image[:16], blocks=room.sent, deaf=room.deaf)
        if room.deaf:
            self._deaf_until[shipment.segment, shipment.name] = now_ms + _DEAF_MS
            self._log.warning(
                "group-unheard",
                segment=shipment.segment,
                reason="no meter has a block that was sent: check address, keys, counter and the meters' own settings",
            )
