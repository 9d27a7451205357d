"""Image transfer (class 18): a firmware image to a meter, block by block over days if need be, verified and activated.

    status               0 none ─▶ 1 initiated ─▶ 2 verifying ─▶ 3 verified ─▶ 5 activating ─▶ 6 activated
                                        ▲              └▶ 4 failed                  └▶ 7 failed
    done by              initiate     blocks         verify       compare, activate

The meter keeps which blocks it has; nobody else needs to. It need not tell of which image they are before it has verified
them, though: who resumes a transfer must know from elsewhere that this image was the last that was initiated. After a break
`transfer_image` is begun anew with `resume` and goes on with the first block that is missing. It is work in steps (see
`steps`), with a pause between blocks. Activating is apart from it: when an image becomes active is a decision of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from enum import Enum, IntEnum

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.get import Attribute
from connectors.protocols.dlms.objects.reading import (
    Fields,
    call,
    integer,
    octets,
    pack,
    pack_all,
    read_fields,
    structure,
    typed,
    unfit,
    unlike,
    written,
)
from connectors.protocols.dlms.objects.steps import POLLING, Pause, Polling, Steps
from connectors.protocols.dlms.put import put

IMAGE = "0.0.44.0.0.255"
MAX_BLOCKS = 1 << 20
_MAX_SIZE = 0xFFFFFFFF
_INITIATE, _BLOCK, _VERIFY, _ACTIVATE = 1, 2, 3, 4
_ROUNDS = 5  # how often missing blocks are looked for again
_TRIES = 3  # of one block that the meter cannot take now


class ImageRefusedError(PeerError):
    """The meter finds the image wrong, or would activate another one: sending it again changes nothing."""


class Status(IntEnum):
    """image_transfer_status, attribute 6."""

    NONE = 0
    INITIATED = 1
    VERIFYING = 2
    VERIFIED = 3
    VERIFICATION_FAILED = 4
    ACTIVATING = 5
    ACTIVATED = 6
    ACTIVATION_FAILED = 7


class Activation(Enum):
    """What became of an activation."""

    ACTIVATED = "activated"
    ACTIVATING = "activating"
    """It goes on, or the meter left to restart: read state and firmware version later."""


@dataclass(frozen=True, slots=True)
class Image:
    """What is sent. `signature` is compared with what the meter makes of it, where it is given."""

    identifier: bytes
    data: bytes = field(repr=False)
    signature: bytes | None = None

    @property
    def size(self) -> int:
        """Octets."""
        return len(self.data)


@dataclass(frozen=True, slots=True)
class ActivateInfo:
    """What the meter says that it would activate."""

    size: int
    identifier: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class ImageState:
    """As the meter has it; None what it does not tell."""

    block_size: int | None
    blocks: tuple[bool, ...] | None
    """Which blocks it has."""
    first_missing: int | None
    enabled: bool | None
    status: Status | None
    to_activate: tuple[ActivateInfo, ...] = ()

    def missing(self, count: int) -> tuple[int, ...]:
        """Which of `count` blocks it lacks: by the bitmap where it has one of that length, else by the first one missing."""
        if self.blocks is not None and len(self.blocks) >= count:
            return tuple(n for n in range(count) if not self.blocks[n])
        return tuple(range(min(self.first_missing or 0, count), count))

    def listed(self, image: Image) -> bool:
        """Whether the meter names this image as what it would activate: size, identifier, and signature where given."""
        return any(_same(info, image) for info in self.to_activate)

    def fits(self, image: Image) -> bool:
        """Whether a transfer of this image may go on: one is under way, of as many blocks."""
        if self.status is not Status.INITIATED or not self.block_size:
            return False
        count = block_count(image, self.block_size)
        return self.blocks is None or count <= len(self.blocks) < count + 8  # some round up to octets


@dataclass(frozen=True, slots=True)
class Transferred:
    """An image that is in the meter, whole and verified."""

    blocks: int
    sent: int
    """How many of them were sent now."""
    block_size: int


Around = Callable[[Session[None]], Session[None]]
"""What the session of each block is put into."""


def _alone(session: Session[None]) -> Session[None]:
    return session


def read_image_state(link: Associated, transfer: str = IMAGE) -> Session[ImageState]:
    """Attributes 2 to 7. Those of a long image are long themselves: the meter answers in blocks."""
    fields = yield from read_fields(link, 18, transfer, (2, 3, 4, 5, 6, 7))
    status = fields.integer(6)
    if status is not None and status not in tuple(Status):
        raise unlike(fields.name(6), "a status of 0 to 7", fields.values[6])
    subject = fields.name(7)
    return ImageState(
        fields.integer(2), _bitmap(fields), fields.integer(4), fields.boolean(5),
        None if status is None else Status(status),
        tuple(_activate_info(row, subject) for row in fields.items(7)),
    )  # fmt: skip


def enable(link: Associated, transfer: str = IMAGE, *, on: bool = True) -> Session[None]:
    """Have the meter take images, or not."""
    yield from put(link, Attribute(18, transfer, 5), axdr.encode(on))


def initiate(link: Associated, image: Image, transfer: str = IMAGE) -> Session[None]:
    """Begin a transfer: whatever the meter had of another one is gone."""
    subject = f"18/{transfer}/1"
    fields = pack(typed(axdr.OCTET_STRING, image.identifier), typed(axdr.UINT32, image.size))
    yield from call(link, 18, transfer, _INITIATE, written(fields, subject))


def send_block(link: Associated, image: Image, number: int, block_size: int, transfer: str = IMAGE) -> Session[None]:
    """One block, counted from 0; the last may be shorter."""
    yield from call(link, 18, transfer, _BLOCK, block_of(image, number, block_size, transfer))


def block_of(image: Image, number: int, block_size: int, transfer: str = IMAGE) -> bytes:
    """The parameter by which a block is transferred. DecodeError where there is no such block."""
    part = image.data[number * block_size : (number + 1) * block_size]
    if number < 0 or not part:
        raise unfit(f"18/{transfer}/2", f"block {number} lies beyond the image")
    fields = pack(typed(axdr.UINT32, number), typed(axdr.OCTET_STRING, part))
    return written(fields, f"18/{transfer}/2")


def transfer_image(
    link: Associated,
    image: Image,
    transfer: str = IMAGE,
    *,
    resume: bool = False,
    polling: Polling = POLLING,
    around: Around = _alone,
) -> Steps[Transferred]:
    """Bring `image` into the meter and have it verified. `resume` is for who knows that this very image was the last that
    was initiated: blocks of two images must not be mixed.

    ImageRefusedError where the meter finds the image wrong; PeerError "peer-state" where it takes no images or loses blocks
    again and again; any other error as it comes. Whatever it is, blocks that are in the meter stay there.
    """
    subject = f"18/{transfer}"
    if not 0 < image.size <= _MAX_SIZE:
        raise unfit(subject, f"an image of {image.size} octets: one of 1 to {_MAX_SIZE} is expected")
    state: ImageState = yield read_image_state(link, transfer)
    block_size = _block_size(state, image, subject)
    if state.enabled is False:
        yield enable(link, transfer)
    count, sent = block_count(image, block_size), 0
    if resume and state.status in (Status.VERIFYING, Status.VERIFIED) and (not state.to_activate or state.listed(image)):
        missing: tuple[int, ...] = ()
    elif resume and state.fits(image):
        missing = state.missing(count)
    else:
        yield initiate(link, image, transfer)
        missing = tuple(range(count))
    for _ in range(_ROUNDS):
        for done, number in enumerate(missing, count - len(missing) + 1):
            yield from _block(link, image, number, block_size, transfer, polling, around)
            sent += 1
            yield Pause(0, "image blocks", done, count)
        state = yield read_image_state(link, transfer)
        missing = state.missing(count)
        silent = state.blocks is None and state.first_missing is None  # verification will tell
        if not missing or silent or state.status in (Status.VERIFYING, Status.VERIFIED):
            break
    else:
        detail = f"{subject}: {len(missing)} of {count} blocks are missing after {_ROUNDS} rounds: try again, with resume"
        raise PeerError("peer-state", detail, retry=True)
    yield from verify_image(link, image, transfer, polling=polling)
    return Transferred(count, sent, block_size)


def verify_image(link: Associated, image: Image, transfer: str = IMAGE, *, polling: Polling = POLLING) -> Steps[ImageState]:
    """Have the meter verify what it has, wait until it did, and compare what it would activate with `image`."""
    subject = f"18/{transfer}"
    state: ImageState = yield read_image_state(link, transfer)
    if state.status is not Status.VERIFIED:
        if state.status is not Status.VERIFYING:
            yield from _started(link, transfer, _VERIFY)
        state = yield from _settled(link, transfer, Status.VERIFYING, "verification", polling)
    if state.status is Status.VERIFICATION_FAILED:
        raise _refused(
            subject, "the meter finds the image wrong: check that it is for this type and version, then begin anew"
        )
    if state.status not in (Status.VERIFIED, None):
        raise _not_so(subject, f"the meter did not verify the image, it is {state.status.name.lower()}: begin anew")
    if not _compared(state, image):
        raise _refused(subject, "what the meter would activate is not the image that was sent: begin anew")
    return state


def activate_image(
    link: Associated, image: Image, transfer: str = IMAGE, *, polling: Polling = POLLING
) -> Steps[Activation]:
    """Activate a verified image. Most meters restart: a connection that breaks after the order is ACTIVATING."""
    subject = f"18/{transfer}"
    state: ImageState = yield read_image_state(link, transfer)
    if state.status is Status.ACTIVATED and _compared(state, image):
        return Activation.ACTIVATED
    if state.status is not Status.ACTIVATING:
        if state.status is not Status.VERIFIED or not _compared(state, image):
            name = "not told" if state.status is None else state.status.name.lower()
            raise _not_so(subject, f"no verified image of this name and size, the status is {name}: transfer it first")
        try:
            yield from _started(link, transfer, _ACTIVATE)
        except PeerError as error:
            if error.code in _GONE:
                return Activation.ACTIVATING
            raise
    try:
        state = yield from _settled(link, transfer, Status.ACTIVATING, "activation", polling)
    except PeerError as error:
        if error.code in _GONE:
            return Activation.ACTIVATING
        raise
    if state.status is Status.ACTIVATION_FAILED:
        raise _refused(subject, "the meter could not activate the image and keeps the one before: ask the vendor")
    return Activation.ACTIVATED if state.status is Status.ACTIVATED else Activation.ACTIVATING


def order_activation(link: Associated, transfer: str = IMAGE) -> Session[None]:
    """Order the activation of what is verified, and nothing else; a temporary failure says that it has begun. Status and
    firmware version tell what came of it, for most meters after a restart.
    """
    try:
        yield from call(link, 18, transfer, _ACTIVATE)
    except PeerError as error:
        if error.code != "peer-action" or not error.retry:
            raise


def schedule_activation(link: Associated, at_ms: int, zone: tzinfo | None, schedule: str) -> Session[None]:
    """Have the meter activate what is verified at a time (milliseconds), by the execution_time of its single action schedule
    (class 22): local time, of `zone` or UTC. The script that it calls is the meter's own.
    """
    at = datetime.fromtimestamp(at_ms / 1000, zone or UTC)
    time = bytes((at.hour, at.minute, at.second, 0))
    date = at.year.to_bytes(2, "big") + bytes((at.month, at.day, 0xFF))
    entry = pack(typed(axdr.OCTET_STRING, time), typed(axdr.OCTET_STRING, date))
    attribute = Attribute(22, schedule, 4)
    yield from put(link, attribute, written(pack_all([entry]), str(attribute)))


_GONE = ("peer-closed", "link-timeout")


def _block(
    link: Associated, image: Image, number: int, block_size: int, transfer: str, polling: Polling, around: Around
) -> Steps[None]:
    """One block; one that the meter cannot take now (temporary failure) is tried again after a pause."""
    for left in range(_TRIES - 1, -1, -1):
        try:
            yield around(send_block(link, image, number, block_size, transfer))
        except PeerError as error:
            if error.code != "peer-action" or not error.retry or not left:
                raise
            yield Pause(polling.seconds, "the meter takes no block now", number, block_count(image, block_size))
        else:
            return


def _started(link: Associated, transfer: str, method: int) -> Steps[None]:
    """A method that may take its time: temporary-failure says that it has begun (IEC 62056-6-2, image_verify)."""
    try:
        yield call(link, 18, transfer, method)
    except PeerError as error:
        if error.code != "peer-action" or not error.retry:
            raise


def _settled(link: Associated, transfer: str, busy: Status, doing: str, polling: Polling) -> Steps[ImageState]:
    """The state once it is no longer `busy`."""
    for _ in range(polling.times):
        state: ImageState = yield read_image_state(link, transfer)
        if state.status is not busy:
            return state
        yield Pause(polling.seconds, doing)
    raise PeerError("peer-state", f"18/{transfer}: the {doing} takes long: read the status later", retry=True)


def _compared(state: ImageState, image: Image) -> bool:
    """Whether the meter would activate this image. A meter that lists nothing is believed."""
    if not state.to_activate:
        return state.status in (Status.VERIFIED, Status.ACTIVATED, None)
    return state.listed(image)


def _same(info: ActivateInfo, image: Image) -> bool:
    named = info.size == image.size and info.identifier == image.identifier
    return named and (image.signature is None or info.signature == image.signature)


def _block_size(state: ImageState, image: Image, subject: str) -> int:
    size = state.block_size
    if size is None or size < 1:
        raise DecodeError("object-shape", f"{subject}: the meter tells no block size: check that it takes images at all")
    if block_count(image, size) > MAX_BLOCKS:
        raise unfit(
            subject, f"{block_count(image, size)} blocks of {size} octets, the limit is {MAX_BLOCKS}: check the block size"
        )
    return size


def block_count(image: Image, block_size: int) -> int:
    """How many blocks of so many octets an image has; 0 where nobody knows the size."""
    return -(-image.size // block_size) if block_size else 0


def _bitmap(fields: Fields) -> tuple[bool, ...] | None:
    value = fields.values.get(3)
    if value is None:
        return None
    if not isinstance(value, axdr.BitString) or value.length > MAX_BLOCKS + 8:
        raise unlike(fields.name(3), f"a bit-string of at most {MAX_BLOCKS} bits", value)
    return tuple(_bits(value))


def _bits(value: axdr.BitString) -> Iterator[bool]:
    for n in range(value.length):
        yield bool(value.value[n >> 3] & 0x80 >> (n & 7))


def _activate_info(row: axdr.Value, subject: str) -> ActivateInfo:
    size, identifier, signature = structure(row, 3, subject)[:3]
    return ActivateInfo(
        integer(size, subject), octets(identifier, subject), b"" if signature is None else octets(signature, subject)
    )


def _refused(subject: str, what: str) -> PeerError:
    return ImageRefusedError("peer-state", f"{subject}: {what}")


def _not_so(subject: str, what: str) -> PeerError:
    return PeerError("peer-state", f"{subject}: {what}")
