"""An image's blocks by a group: the meter waits in the room (`group_sending`) until what the group brings is there.

Its association stays open meanwhile, with a word now and then so that the meter keeps it; more urgent jobs of the meter are
done on it. Whether the transfer may go on is asked each time, and by the room before each block.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from connectors.gateway.drivers.dlms_order import DlmsOrder, GroupMeans
from connectors.gateway.drivers.port import Installing, Way
from connectors.gateway.errors import JobError, KeyStoreError
from connectors.gateway.group_blocks import Wants, mask_of
from connectors.gateway.group_sending import Member, Shipment, Standing
from connectors.protocols.dlms.broadcast import block_to_all, group_keys, protected
from connectors.protocols.dlms.ciphering import Keys
from connectors.protocols.dlms.framing.wrapper import pack
from connectors.protocols.dlms.objects.image_transfer import Image, ImageState, block_count
from streams.runtime.group_settings import Group

_LOOK_S = 0.2
_WORD_MS = 60_000
"""A meter that nobody speaks to hangs up after two or three minutes."""
_LARGEST = 60_000
"""Octets of a block: a datagram holds no more."""


@dataclass(slots=True)
class Company:
    """One transfer's way to the group of its meter's segment."""

    order: DlmsOrder
    means: GroupMeans
    group: Group
    image_id: str
    way: Way
    deed: Installing
    read: Callable[[], Awaitable[ImageState]]
    """What the meter has. Raises as sessions do, and so does `word`."""
    word: Callable[[], Awaitable[object]]
    """Something short, and its answer."""
    offered: int = 0
    """Blocks that were sent to the group while the meter listened."""

    async def turn(self) -> None:
        """Wait until no blocks of another image are sent to the group."""
        spoke = self.order.now_ms()
        while not self.means.groups.turn(self.order.meter.segment, self.image_id):
            spoke = await self._rest(spoke)

    @contextmanager
    def bringing(self) -> Iterator[None]:
        """While the transfer is under way."""
        with self.means.groups.bringing(self.order.meter.segment, self.image_id):
            yield

    async def blocks(self, image: Image, state: ImageState) -> ImageState:
        """What the meter has once the group brought what it could: `state` where it brings nothing."""
        block_size = state.block_size or 0
        count = block_count(image, block_size)
        shipment = self._shipment(count, block_size)
        if shipment is None or not state.fits(image) or not state.missing(count):
            return state
        member = await self._enter(shipment, image, mask_of(state.missing(count)))
        if member is None:
            return state
        read_at = member.came
        try:
            spoke = self.order.now_ms()
            while (wants := member.room.wants(member.seat)) is not Wants.GO:
                if wants is Wants.TELL:
                    state, read_at = await self.read(), member.room.sent
                    spoke = self.order.now_ms()
                    member.room.tell(member.seat, mask_of(state.missing(count)))
                else:
                    spoke = await self._rest(spoke)
        finally:
            self.offered = member.room.sent - member.came
            member.room.leave(member.seat)
        return state if member.room.sent == read_at else await self.read()

    async def _rest(self, spoke: int) -> int:
        """A moment; when the meter was spoken to last."""
        self.deed.permitted()
        await self.way.rest(_LOOK_S)
        self.deed.permitted()
        if self.order.now_ms() - spoke < _WORD_MS:
            return spoke
        await self.word()
        return self.order.now_ms()

    async def _enter(self, shipment: Shipment, image: Image, lacks: int) -> Member | None:
        group, keys, title, transfer = self.group, shipment.keys, self.means.title, shipment.transfer

        def datagram(number: int, counter: int) -> bytes:
            apdu = block_to_all(image, number, shipment.block_size, transfer)
            return pack(group.client, group.station, apdu if keys is None else protected(apdu, keys, title, counter))

        return await self.means.groups.enter(shipment, lacks, Standing(self._goes, self.way.spent), datagram)

    def _goes(self) -> bool:
        try:
            self.deed.permitted()
        except JobError:
            return False
        deadline = self.order.job.deadline
        return deadline is None or self.order.now_ms() < deadline

    def _shipment(self, count: int, block_size: int) -> Shipment | None:
        """What the meter has in common with others; None where it is served alone."""
        order = self.order
        if not 0 < block_size <= _LARGEST:
            return None
        keys: Keys | None = None
        if self.group.security == "ciphered":
            keys = self._keys()
            if keys is None:
                return None
        pull = order.template.pull
        return Shipment(order.meter.segment, self.image_id, pull.image_transfer, count, block_size, keys)

    def _keys(self) -> Keys | None:
        """The keys of the meter's group; None where it has none that fit."""
        meter, reason = self.order.meter, "it has no broadcast key and authentication key"
        try:
            held = self.means.keys.get(meter.key_ref) if meter.key_ref else None
            if held is not None and held.broadcast is not None and held.ak is not None:
                return group_keys(held.broadcast, held.ak, self.order.template.pull.suite)
        except (KeyStoreError, ValueError) as error:
            reason = str(error)
        why = f"meter {meter.id}: {reason}; it gets its blocks by itself, as do others like it"
        self.means.groups.once(meter.segment, "group-key-missing", reason=why)
        return None


def company_of(
    order: DlmsOrder,
    image_id: str,
    way: Way,
    deed: Installing,
    read: Callable[[], Awaitable[ImageState]],
    word: Callable[[], Awaitable[object]],
) -> Company | None:
    """The way to the group; None where the meter hears none."""
    means = order.groups
    group = None if means is None else means.groups.of(order.meter)
    return None if means is None or group is None else Company(order, means, group, image_id, way, deed, read, word)
