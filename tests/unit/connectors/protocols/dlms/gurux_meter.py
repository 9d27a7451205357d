"""A meter that somebody else wrote: gurux-dlms' server, spoken to in bytes, no socket in between.

What its Python port calls and does not define is defined here; what it answers is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from gurux_dlms import GXDateTime, GXDLMSServer, GXServerReply
from gurux_dlms.enums import AccessMode, DataType, InterfaceType, MethodAccessMode, SourceDiagnostic, Unit
from gurux_dlms.objects import (
    GXDLMSAssociationLogicalName,
    GXDLMSCaptureObject,
    GXDLMSClock,
    GXDLMSData,
    GXDLMSObject,
    GXDLMSProfileGeneric,
    GXDLMSRegister,
)

from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DlmsError

T = TypeVar("T")
CLIENT, METER = 16, 1


class _Reply(GXServerReply):  # type: ignore[misc]  # no type hints upstream
    def setReply(self, value: Any) -> None:  # noqa: N802 - gurux' name
        self.reply = value

    def getConnectionInfo(self) -> None:  # noqa: N802 - gurux' name
        return None


class Profile(GXDLMSProfileGeneric):  # type: ignore[misc]  # no type hints upstream
    """A load profile whose rows are A-XDR already: gurux writes them as they are, and parses what selects them."""

    def __init__(self, obis: str) -> None:
        super().__init__(obis)
        self.encoded: list[tuple[bytes, bytes]] = []  # (twelve octets of the clock, the whole row)
        self.selected: list[Any] = []

    def getValue(self, settings: Any, e: Any) -> Any:  # noqa: N802 - gurux' name
        if e.index != 2:
            return super().getValue(settings, e)
        rows = self.encoded
        if e.selector:
            self.selected.append((e.selector, e.parameters))
        if e.selector == 1:
            start, end = bytes(e.parameters[1])[:9], bytes(e.parameters[2])[:9]
            without_day = [(r[0][:4] + r[0][5:9], r) for r in rows]
            rows = [r for at, r in without_day if start[:4] + start[5:] <= at <= end[:4] + end[5:]]
        elif e.selector == 2:
            rows = rows[e.parameters[0] - 1 : e.parameters[1] or None]
        count = len(rows)
        e.byteArray = True
        head = bytes((1, count)) if count < 0x80 else bytes((1, 0x82)) + count.to_bytes(2, "big")
        return head + b"".join(row for _, row in rows)


class GuruxMeter(GXDLMSServer):  # type: ignore[misc]  # no type hints upstream
    """`exchange` takes an APDU and gives the answer."""

    def __init__(self, objects: Iterable[GXDLMSObject], password: bytes | None = None, denied: Sequence[str] = ()) -> None:
        super().__init__(True, InterfaceType.WRAPPER)
        self.password, self.denied = password, denied
        self.requests: list[bytes] = []
        association = GXDLMSAssociationLogicalName()
        for item in objects:
            self.items.append(item)
            association.objectList.append(item)
        self.items.append(association)
        self.initialize()
        self.settings.gbtWndowSize = 1  # as the port spells it where it reads it

    def exchange(self, apdu: bytes) -> bytes:
        self.requests.append(apdu)
        frame = b"".join(n.to_bytes(2, "big") for n in (1, CLIENT, METER, len(apdu))) + apdu
        reply = _Reply(frame)
        self.handleRequest(reply)
        return bytes(reply.reply)[8:] if reply.reply else b""

    def isTarget(self, server_address: int, client_address: int) -> bool:  # noqa: N802 - gurux' name
        return (client_address, server_address) == (CLIENT, METER)

    def onValidateAuthentication(self, authentication: int, password: bytes | None) -> SourceDiagnostic:  # noqa: N802 - gurux' name
        if self.password is None:
            return SourceDiagnostic.NONE
        if authentication == 0:
            return SourceDiagnostic.AUTHENTICATION_REQUIRED
        return SourceDiagnostic.NONE if bytes(password or b"") == self.password else SourceDiagnostic.AUTHENTICATION_FAILURE

    def onGetAttributeAccess(self, arg: Any) -> AccessMode:  # noqa: N802 - gurux' name
        return AccessMode.NO_ACCESS if arg.target.logicalName in self.denied else AccessMode.READ

    def onGetMethodAccess(self, _: Any) -> MethodAccessMode:  # noqa: N802 - gurux' name
        return MethodAccessMode.NO_ACCESS

    def getTransaction(self) -> Any:  # noqa: N802 - gurux' name
        if self.transaction is not None:
            self.transaction.setData = lambda rest: setattr(self.transaction, "data", rest)
        return self.transaction

    def setTransaction(self, transaction: Any) -> None:  # noqa: N802 - gurux' name
        self.transaction = transaction

    def onFindObject(self, *_: Any) -> None:  # noqa: N802 - gurux' name
        return None

    def _nothing(self, *_: Any) -> None:
        return None

    onPreGet = onPostGet = onPreRead = onPostRead = notifyRead = onPreWrite = onPostWrite = _nothing  # noqa: N815 - gurux' names
    onConnected = onInvalidConnection = onDisconnected = onPreAction = onPostAction = _nothing  # noqa: N815 - gurux' names


def register(obis: str, value: int, scaler: float, unit: Unit, kind: DataType = DataType.UINT32) -> GXDLMSRegister:
    item = GXDLMSRegister(obis)
    item.value, item.scaler, item.unit = value, scaler, unit
    item.setDataType(2, kind)
    return item


def data(obis: str, value: Any, kind: DataType) -> GXDLMSData:
    item = GXDLMSData(obis)
    item.value = value
    item.setDataType(2, kind)
    return item


def clock(time: GXDateTime) -> GXDLMSClock:
    item = GXDLMSClock("0.0.1.0.0.255")
    item.time = time
    return item


def profile(
    obis: str, captured: Sequence[tuple[GXDLMSObject, int]], rows: Sequence[tuple[bytes, bytes]], period: int = 900
) -> Profile:
    item = Profile(obis)
    item.capturePeriod = period
    item.encoded = list(rows)
    for target, attribute in captured:
        item.captureObjects.append((target, GXDLMSCaptureObject(attribute, 0)))
    return item


def code_of(call: Callable[[], object]) -> str | None:
    """The code of our own error that `call` raises, None where it raises none; anything else comes through."""
    try:
        call()
    except DlmsError as error:
        return error.code
    return None


def drive(session: Session[T], exchange: Callable[[bytes], bytes]) -> T:
    """Run a session to its end against something that answers."""
    try:
        apdu = next(session)
        while True:
            apdu = session.send(exchange(apdu))
    except StopIteration as ended:
        result: T = ended.value
        return result
