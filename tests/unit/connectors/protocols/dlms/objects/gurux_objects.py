"""A meter full of gurux-dlms' objects, all of which may be read, written and invoked.

Requests are parsed and values written by gurux; where its Python port leaves a method of an object undone (image transfer,
disconnect control) what the method does to the object is written here, by the standard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from gurux_dlms import ValueEventArgs
from gurux_dlms.enums import AccessMode, DataType, ErrorCode, MethodAccessMode
from gurux_dlms.GXDLMSLNParameters import GXDLMSLNParameters
from gurux_dlms.objects import (
    GXDLMSActivityCalendar,
    GXDLMSClock,
    GXDLMSDisconnectControl,
    GXDLMSImageActivateInfo,
    GXDLMSImageTransfer,
    GXDLMSMBusClient,
    GXDLMSObject,
    GXDLMSPushSetup,
)
from gurux_dlms.objects.enums import ControlState, ImageTransferStatus

from connectors.protocols.dlms.association import Associated, Association, associate
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, drive


def _one(self: Any) -> Iterator[Any]:
    """The port lists a single argument before it calls its own hooks, and forgot to let it be listed."""
    yield self


def _set_status(self: Any, status: ErrorCode) -> None:
    self.status = status


ValueEventArgs.__iter__ = _one
GXDLMSLNParameters.setStatus = _set_status
GXDLMSLNParameters.isMultipleBlocks = lambda self: self.multipleBlocks
ValueEventArgs.isSkipMaxPduSize = True  # the name by which the port asks; the whole list at once, it is cut later


class ObjectMeter(GuruxMeter):
    """`invoked` are (OBIS, method, parameter) of all methods. `modes` are rights other than to read and write, by OBIS."""

    def __init__(self, objects: Iterable[GXDLMSObject], *, modes: dict[str, int] | None = None) -> None:
        self.modes = modes or {}
        self.invoked: list[tuple[str, int, Any]] = []
        self.refuse: dict[tuple[str, int], ErrorCode] = {}
        """(OBIS, method) to what it is refused with, once."""
        super().__init__(objects)
        association = self.items[-1]
        told = association.getValue

        def with_rights(settings: Any, e: Any) -> Any:
            e.server = self  # without, the port lists no rights
            return told(settings, e)

        association.getValue = with_rights
        association.objectList.append(association)

    def onGetAttributeAccess(self, arg: Any) -> AccessMode:  # noqa: N802 - gurux' name
        return AccessMode(self.modes.get(arg.target.logicalName, AccessMode.READ_WRITE))

    def onGetMethodAccess(self, arg: Any) -> MethodAccessMode:  # noqa: N802 - gurux' name
        denied = self.modes.get(arg.target.logicalName) == AccessMode.NO_ACCESS
        return MethodAccessMode.NO_ACCESS if denied else MethodAccessMode.ACCESS

    def onPreAction(self, args: Any) -> None:  # noqa: N802 - gurux' name
        for arg in args:
            parameter = bytes(arg.parameters) if isinstance(arg.parameters, bytearray) else arg.parameters
            self.invoked.append((arg.target.logicalName, arg.index, parameter))

    def link(self, size: int = 0xFFFF) -> Associated:
        """Associated without authentication."""
        return drive(associate(Association(max_receive_pdu=size)), self.exchange)


class _Done:
    """Methods whose work is written here: `does` has it by method."""

    does: dict[int, Callable[[Any], None]]

    def invoke(self, _: Any, e: Any) -> None:
        e.error = e.target.refused.pop(0) if e.target.refused else ErrorCode.OK
        if e.error == ErrorCode.OK and e.index in self.does:
            self.does[e.index](e.parameters)
        elif e.error == ErrorCode.OK:
            e.error = ErrorCode.READ_WRITE_DENIED


class Relay(_Done, GXDLMSDisconnectControl):  # type: ignore[misc]  # no type hints upstream
    """`stuck` takes orders and does nothing."""

    def __init__(self, obis: str = "0.0.96.3.10.255", mode: int = 4, state: int = 1) -> None:
        super().__init__(obis)
        self.controlMode, self.controlState, self.outputState = mode, ControlState(state), state == 1
        self.stuck = False
        self.refused: list[ErrorCode] = []
        self.does = {1: lambda _: self.go(0), 2: lambda _: self.go(2 if mode in (1, 3, 5, 6) else 1)}

    def go(self, state: int) -> None:
        if not self.stuck:
            self.controlState, self.outputState = ControlState(state), state == 1


class Image(_Done, GXDLMSImageTransfer):  # type: ignore[misc]  # no type hints upstream
    """Keeps the blocks. `polls` is how often it says that verification or activation goes on; `spoil` makes it fail;
    `lose` are blocks that it takes and forgets, once each."""

    def __init__(self, block_size: int = 64, obis: str = "0.0.44.0.0.255") -> None:
        super().__init__(obis)
        self.imageBlockSize, self.imageTransferEnabled = block_size, True
        self.imageTransferStatus = ImageTransferStatus.IMAGE_TRANSFER_NOT_INITIATED
        self.imageTransferredBlocksStatus = ""
        self.imageActivateInfo: list[GXDLMSImageActivateInfo] = []
        self.parts: dict[int, bytes] = {}
        self.identifier, self.size = b"", 0
        self.polls, self.spoil = 0, False
        self.lose: set[int] = set()
        self.refused: list[ErrorCode] = []
        self.waiting: tuple[int, ImageTransferStatus] | None = None
        self.does = {1: self.begin, 2: self.take, 3: self.verify, 4: self.activate}

    def begin(self, value: Any) -> None:
        self.identifier, self.size, self.parts = bytes(value[0]), int(value[1]), {}
        self.imageTransferStatus = ImageTransferStatus.IMAGE_TRANSFER_INITIATED
        self.imageActivateInfo = []

    def take(self, value: Any) -> None:
        number = int(value[0])
        if number in self.lose:
            self.lose.discard(number)
        else:
            self.parts[number] = bytes(value[1])

    def verify(self, _: Any) -> None:
        data = b"".join(self.parts[n] for n in sorted(self.parts))
        info = GXDLMSImageActivateInfo()
        info.size, info.identification, info.signature = len(data), self.identifier, b"sig"
        self.imageActivateInfo = [info]
        self._later(2, 4 if self.spoil or len(data) != self.size else 3)

    def activate(self, _: Any) -> None:
        self._later(5, 7 if self.spoil else 6)

    def _later(self, busy: int, done: int) -> None:
        self.imageTransferStatus = ImageTransferStatus(busy if self.polls else done)
        self.waiting = (self.polls, ImageTransferStatus(done)) if self.polls else None

    def getValue(self, settings: Any, e: Any) -> Any:  # noqa: N802 - gurux' name
        count = -(-self.size // self.imageBlockSize)
        have = ["1" if n in self.parts else "0" for n in range(count)]
        self.imageTransferredBlocksStatus = "".join(have)
        self.imageFirstNotTransferredBlockNumber = have.index("0") if "0" in have else count
        if e.index == 6 and self.waiting is not None:
            left, done = self.waiting
            self.waiting = (left - 1, done) if left else None
            self.imageTransferStatus = self.imageTransferStatus if left else done
        return super().getValue(settings, e)


class Calendar(GXDLMSActivityCalendar):  # type: ignore[misc]  # no type hints upstream
    """Activating takes the passive side over."""

    def invoke(self, _: Any, e: Any) -> None:
        if e.index != 1:
            e.error = ErrorCode.READ_WRITE_DENIED
            return
        self.calendarNameActive = self.calendarNamePassive
        self.seasonProfileActive = self.seasonProfilePassive
        self.weekProfileTableActive = self.weekProfileTablePassive
        self.dayProfileTableActive = self.dayProfileTablePassive


class Clock(GXDLMSClock):  # type: ignore[misc]  # no type hints upstream
    """Takes every method."""

    def invoke(self, _: Any, e: Any) -> None:
        e.error = ErrorCode.OK


class MBus(GXDLMSMBusClient):  # type: ignore[misc]  # no type hints upstream
    """Takes every method."""

    def invoke(self, _: Any, e: Any) -> None:
        e.error = ErrorCode.OK


class Push(GXDLMSPushSetup):  # type: ignore[misc]  # no type hints upstream
    """Its port writes twelve octets of any kind of window as they are."""


UINT32, UINT16, UINT8 = DataType.UINT32, DataType.UINT16, DataType.UINT8
