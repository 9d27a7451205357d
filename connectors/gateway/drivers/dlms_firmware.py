"""FIRMWARE_TRANSFER to DLMS meters (image transfer, class 18): brought, verified, activated, and the version read back.

    version read ─▶ as asked already: done
         └─▶ fit? ─▶ begun by us before? ─▶ blocks that are missing ─▶ verified ─▶ not to be activated (yet): done
                          └─▶ initiated anew ─┘                            └─▶ proven again, kept, ordered ─▶ the call ends
    a later try: version read ─▶ as asked: done, what was known of the meter is forgotten
                      └─▶ looked at again, until its time is over

The meter keeps its blocks, `firmware_deed` which image they are of, so any worker goes on where another ended. Between
blocks more urgent jobs of the meter are done on the same association, and pauses give other meters their share of the
segment. Where the segment has a group, blocks that several meters lack come by that first (`dlms_group`). Of a call's
blocks the first is kept on hes.frames and the others are only counted: an image is the same for everybody, and half a
million meters' worth of it would be of no use. What the result says is how many went, and how many the meter has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from connectors.gateway.drivers.dlms_faults import dlms_fault
from connectors.gateway.drivers.dlms_firmware_fit import check_version, text_of, unfit, wanted
from connectors.gateway.drivers.dlms_group import Company, company_of
from connectors.gateway.drivers.dlms_order import DlmsOrder
from connectors.gateway.drivers.port import Deed, Found, Installing, Way
from connectors.gateway.drivers.stepping import Drive, run_steps
from connectors.gateway.errors import JobError
from connectors.gateway.session import MeterLink
from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.get import Attribute
from connectors.protocols.dlms.objects.image_transfer import (
    Image,
    ImageRefusedError,
    ImageState,
    Status,
    block_count,
    enable,
    initiate,
    order_activation,
    read_image_state,
    transfer_image,
)
from connectors.protocols.dlms.objects.reading import read
from schemas.records import FirmwareManifest
from streams.runtime import metrics
from streams.runtime.authority.terms import Terms
from streams.runtime.images import ImageError

_TIMES_UP = ("job-expired", "job-timeout")
_NO_IMAGES = frozenset(("peer-action", "peer-access", "peer-state", "object-shape", "object-value"))
"""What a meter that takes no images, or not this one, answers with."""
_ORDERS = 2
"""How often an activation that left the meter where it was is ordered."""


@dataclass(frozen=True, slots=True)
class Line:
    """What an image is brought over."""

    link: Associated
    drive: Drive
    drive_once: Drive
    way: Way
    meter: Callable[[], MeterLink | None]
    """The connection."""


async def install(order: DlmsOrder, line: Line, deed: Deed, found: Found) -> None:
    """Do the job, over an open association. Raises `JobError`; "firmware-restarting", to be tried again, once the meter was
    told to activate the image and has gone.
    """
    if not isinstance(deed, Installing):
        raise TypeError("an image without a deed that knows of images")
    terms, manifest = wanted(order)
    await deed.recall()
    found.rows = deed.sent
    work = _Work(order, line, deed, found, terms, manifest)
    version = found.before = await work.version()
    if deed.unsettled:
        found.before = deed.before
        await work.look_again(version)
    elif version == terms.version:
        found.after, found.detail = version, "the meter had the version before; nothing was sent"
        order.shapes.renew(order.meter)
    else:
        check_version(terms, manifest, version)
        await work.check_hardware()
        await work.bring(version)


@dataclass(frozen=True, slots=True)
class _Work:
    """One try of a job."""

    order: DlmsOrder
    line: Line
    deed: Installing
    found: Found
    terms: Terms
    manifest: FirmwareManifest

    async def version(self) -> str:
        """The version that is active. Raises `JobError` where the meter does not tell it: then nobody could say afterwards
        what became of it.
        """
        version = self.found.learnt["firmware"] = await self._text("version", "firmware", self.order.template.pull.firmware)
        return version

    async def check_hardware(self) -> None:
        """Raises `JobError` where the image is for other hardware revisions than the meter's."""
        wanted, obis = self.manifest.hardware, self.order.template.pull.hardware
        if wanted and obis is not None:
            revision = self.found.learnt["hardware"] = await self._text("hardware revision", "hardware", obis)
            if revision not in wanted:
                raise unfit(f"the image is for the hardware {', '.join(wanted)}, and the meter's is {revision!r}")

    async def _text(self, what: str, setting: str, obis: str) -> str:
        attribute = Attribute(1, obis, 2)
        try:
            value: axdr.Value = await self.line.drive(read(self.line.link, attribute))
        except DlmsError as error:
            if error.code not in _NO_IMAGES or _fault(error).retry:
                raise
            raise unfit(
                f"the meter does not tell its {what} ({error.detail}): set pull.{setting} in its template"
            ) from error
        if not isinstance(value, (bytes, str)) or not value:
            raise unfit(f"{attribute} holds no text: set pull.{setting} in the template to where the {what} is")
        return text_of(value)

    async def bring(self, version: str) -> None:
        """The image into the meter, and what is to follow."""
        image = await self._image()
        await self._transfer(image)
        terms, now = self.terms, self.order.now_ms()
        self.found.after = "verified"
        if not terms.installs:
            self.found.detail = f"{self.deed.progress}, verified; not to be activated"
        elif terms.activate_at is None or now >= terms.activate_at:
            await self._activate(version)
        else:
            # Not by the meter's own schedule (class 22): a halt or a freeze could not take that back.
            self.found.detail = f"{self.deed.progress}, verified; to be activated by a later job, when it is time"

    async def look_again(self, version: str) -> None:
        """The activation was ordered: what came of it?"""
        deed, terms, pull = self.deed, self.terms, self.order.template.pull
        deed.heard = version
        if version == terms.version:
            deed.known()
            self.found.after, self.found.detail = version, "activated, and the version read back"
            self.order.shapes.renew(self.order.meter)
            return
        state: ImageState = await self._told(read_image_state(self.line.link, pull.image_transfer))
        if state.status is Status.ACTIVATION_FAILED:
            deed.known()
            self.found.after = version
            raise _refused("the meter could not activate the image and keeps the one before: ask the vendor")
        if state.status is Status.VERIFIED and deed.orders < _ORDERS:
            await self._activate(self.found.before)
        raise _restarting(f"it still reports {version!r}")

    async def _image(self) -> Image:
        images = self.order.images
        if images is None:
            raise RuntimeError("an image from nowhere")
        try:
            data = await asyncio.wrap_future(images.fetch(self.terms.image))
        except ImageError as error:
            detail = f"{error.detail}; nothing was sent to the meter"
            raise JobError(error.code, detail, retry=error.code == "image-missing", harmless=True) from error
        return Image(self.manifest.identifier, data, self.manifest.vendor_signature or None)

    async def _transfer(self, image: Image) -> None:
        """Blocks and verification, where the segment has a group by it first. Blocks that went to the group may have come to
        the meter while it took another image: what it refuses then is initiated anew, once, and comes to it alone.
        """
        link, transfer = self.line.link, self.order.template.pull.image_transfer
        company = company_of(
            self.order, self.terms.image, self.line.way, self.deed,
            lambda: self.line.drive(read_image_state(link, transfer)),
            lambda: self.line.drive(read(link, Attribute(18, transfer, 6))),
        )  # fmt: skip
        if company is None:
            await self._try(image, None)
            return
        try:
            await company.turn()
        except (DlmsError, JobError) as error:
            raise self._broken(error, gained=False) from error
        with company.bringing():
            try:
                await self._try(image, company)
            except JobError as error:
                if not isinstance(error.__cause__, ImageRefusedError):
                    raise
                await self._try(image, None)

    async def _try(self, image: Image, company: Company | None) -> None:
        """Initiated anew unless it is known that the meter's blocks are of this very image."""
        link, obis = self.line.link, self.order.template.pull.image_transfer
        state: ImageState = await self._told(read_image_state(link, obis))
        if not (self.deed.begun() or (state.listed(image) and image.signature is not None)):
            await self.deed.forget()
            if state.enabled is False:
                await self._told(enable(link, obis))
            await self._told(initiate(link, image, obis))
            await self.deed.keep()
            state = await self._told(read_image_state(link, obis))
        count = block_count(image, state.block_size or 0)
        missing = len(state.missing(count)) if state.status is not Status.VERIFIED else 0
        blocks = _Blocks(self, count, count - missing, self.deed.gains(missing), grouped=company is not None)
        blocks.say()
        try:
            if company is not None:
                blocks.gained(len((await company.blocks(image, state)).missing(count)))
            steps = transfer_image(link, image, obis, resume=True, around=blocks.around)
            await run_steps(steps, self.line.drive, blocks.rest)
        except ImageRefusedError as error:
            await self.deed.forget()
            raise _refused(error.detail) from error
        except (DlmsError, JobError) as error:
            some = blocks.sent > 0 or (company is not None and company.offered > 0)
            raise self._broken(error, gained=blocks.gains and some) from error
        self.deed.progress = f"{count} of {count} blocks are in the meter"

    async def _activate(self, version: str) -> None:
        """Order it. Always raises: the meter is looked for later."""
        deed, job, pull = self.deed, self.order.job, self.order.template.pull
        if job.deadline is not None and self.order.now_ms() + pull.restart_s * 1_000 >= job.deadline:
            raise _unfinished(f"{deed.progress}, verified; there is no time left to activate it and to see what comes of it")
        await deed.intend(version)

        def order() -> Session[None]:
            deed.still()
            deed.ordered(pull.restart_s, pull.back_s)
            yield from order_activation(self.line.link, pull.image_transfer)

        try:
            await self.line.drive_once(order())
        except DlmsError as error:
            if error.code in _NO_IMAGES:
                deed.known()
                raise _refused(f"the meter does not activate the image: {error.detail}") from error
            raise _restarting(error.detail) from error
        raise _restarting("it was told to")

    async def _told(self, session: Session[Any]) -> Any:
        """What a session about the image says; its errors as they are for firmware."""
        try:
            return await self.line.drive(session)
        except (DlmsError, JobError) as error:
            raise self._broken(error, gained=False) from error

    def _broken(self, error: DlmsError | JobError, *, gained: bool) -> JobError:
        """What stopped a transfer."""
        fault = _fault(error)
        progress = self.deed.progress or "no block was sent"
        if fault.code in _TIMES_UP:
            return _unfinished(f"{progress}; {fault.detail}")
        if fault.code in _NO_IMAGES and not fault.retry:
            return _refused(fault.detail)
        if fault.retry and fault.code not in _NOT_THE_METERS:
            detail = f"{progress}; {fault.code}: {fault.detail}"
            return JobError("firmware-unfinished", detail, retry=True, gained=gained, harmless=fault.harmless)
        return fault


_NOT_THE_METERS = frozenset(("intent-unavailable", "counter-unavailable"))


@dataclass(slots=True)
class _Blocks:
    """The blocks of one try on their way."""

    work: _Work
    count: int
    had: int
    gains: bool
    """Whether the try before this one left something in the meter."""
    grouped: bool = False
    """Whether the meter hears a group."""
    sent: int = 0
    counted: int = 0

    def gained(self, missing: int) -> None:
        """What a group brought, by what is still missing."""
        brought = max(0, self.count - self.had - missing)
        self.had += brought
        self.work.found.rows += brought
        self.work.deed.sent += brought
        self.say()

    def around(self, session: Session[None]) -> Session[None]:
        """A block's session: its frames are not kept, but for the first one's."""
        meter = self.work.line.meter()
        if meter is not None and self.sent:
            meter.skips = True
        try:
            yield from session
        finally:
            if meter is not None:
                meter.skips = False
        self.sent += 1
        self.work.found.rows += 1
        self.work.deed.sent += 1
        if self.grouped:
            metrics.GROUP_BLOCKS.labels("one").inc()
        self.say()

    async def rest(self, seconds: float) -> None:
        """Between blocks: others first, and as long as their share asks for."""
        self.work.deed.permitted()
        way, meter = self.work.line.way, self.work.line.meter()
        octets = 0 if meter is None else meter.skipped - self.counted
        self.counted += octets
        await way.rest(max(seconds, way.spent(octets) if octets else 0.0))
        self.work.deed.permitted()

    def say(self) -> None:
        """How far it is."""
        self.work.deed.progress = f"{min(self.count, self.had + self.sent)} of {self.count} blocks are in the meter"


def _fault(error: DlmsError | JobError) -> JobError:
    fault = error if isinstance(error, JobError) else dlms_fault(error)
    if fault is None:
        raise error
    return fault


def _refused(what: str) -> JobError:
    return JobError("firmware-refused", what, harmless=True)


def _unfinished(what: str) -> JobError:
    return JobError("firmware-unfinished", what, harmless=True)


def _restarting(why: str) -> JobError:
    return JobError("firmware-restarting", f"the meter activates the image and restarts: {why}", retry=True)
