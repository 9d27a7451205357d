"""A meter's COSEM server on a TCP connection: gurux-dlms for services and association, `Cosem` for values.

gurux's Python server lacks a few methods that its own handlers call; they are supplied here. Its servers are made for one
connection at a time, so each connection has its own and a meter at rest has none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from gurux_dlms import GXDLMSServer, GXServerReply, ValueEventArgs
from gurux_dlms.enums import (
    AccessMode,
    Authentication,
    Command,
    ErrorCode,
    InterfaceType,
    MethodAccessMode,
    ObjectType,
    SourceDiagnostic,
)
from gurux_dlms.objects import GXDLMSObject

from connectors.simulator.cosem import MANAGEMENT_CLIENT, PUBLIC_CLIENT, PUBLIC_OBJECTS, AccessError, Cosem, Selection

HEADER = 8
LARGEST_REQUEST = 4096  # octets of one APDU; no request that a meter understands is longer
GET_WITH_LIST = 3


ValueEventArgs.__iter__ = lambda self: iter((self,))
"""gurux's server lists a single argument before it announces a method, and forgot to let it be listed."""


class Reply(GXServerReply):  # type: ignore[misc]  # gurux has no type hints
    """What gurux's server fills; its own class lacks the setters that the server calls."""

    def setReply(self, value: bytes) -> None:  # noqa: N802 - gurux's name
        """Keep the bytes to send."""
        self.reply = value

    def getConnectionInfo(self) -> None:  # noqa: N802 - gurux's name
        """Nothing: a connection knows its own server."""
        return


class MeterServer(GXDLMSServer):  # type: ignore[misc]  # gurux has no type hints
    """One association with one meter."""

    def __init__(self, cosem: Cosem) -> None:
        super().__init__(True, InterfaceType.WRAPPER)
        self.cosem = cosem
        self.initialized = True
        self.settings.gbtWndowSize = 1  # so spelt where gurux's block transfer reads it
        self._get_type = 0

    def answer(self, frame: bytes) -> bytes:
        """The reply to one wrapper frame; empty where a meter keeps silent. Whatever gurux cannot read raises."""
        reply = Reply(bytearray(frame))
        self.handleRequest(reply)
        return bytes(reply.reply or b"")

    def handleCommand(self, cmd: int, data: object, sr: Reply) -> object:  # noqa: N802 - gurux's name
        """Note which kind of get it is: an undefined object is answered differently within a list."""
        if cmd == Command.GET_REQUEST and data:
            self._get_type = data.getUInt8(data.position)  # type: ignore[attr-defined]  # a gurux byte buffer
        return super().handleCommand(cmd, data, sr)

    def isTarget(self, serverAddress: int, clientAddress: int) -> bool:  # noqa: N802, N803 - gurux's names
        """Only the management logical device, and only for the clients it knows."""
        return serverAddress == 1 and clientAddress in (PUBLIC_CLIENT, MANAGEMENT_CLIENT)

    def onValidateAuthentication(self, authentication: int, password: bytes | None) -> int:  # noqa: N802 - gurux's name
        """Public client without authentication; management client with low level security and the meter's password."""
        # Called between AARQ and AARE: the only place where the meter's own PDU size can still be agreed on.
        self.settings.maxPduSize = min(self.settings.maxPduSize, self.cosem.plan.model.pdu)
        if self.settings.clientAddress == PUBLIC_CLIENT:
            return int(SourceDiagnostic.NONE if authentication == Authentication.NONE else SourceDiagnostic.NOT_RECOGNISED)
        if authentication == Authentication.NONE:
            return int(SourceDiagnostic.AUTHENTICATION_REQUIRED)
        if authentication != Authentication.LOW:
            return int(SourceDiagnostic.NOT_RECOGNISED)
        right = bytes(password or b"") == self.cosem.plan.password.encode()
        return int(SourceDiagnostic.NONE if right else SourceDiagnostic.AUTHENTICATION_FAILURE)

    def onFindObject(self, objectType: int, _sn: int, ln: str) -> GXDLMSObject:  # noqa: N802, N803 - gurux's names
        """Every object exists for gurux; whether the meter has it is decided where its value is read."""
        return GXDLMSObject(ObjectType(objectType), ln, 0)

    def onGetAttributeAccess(self, arg: object) -> int:  # noqa: N802 - gurux's name
        """Called before an attribute is read: puts the encoded value, or the error, into gurux's argument."""
        event: _Event = arg  # type: ignore[assignment]  # gurux's ValueEventArgs
        selection = Selection(event.selector, event.parameters) if event.selector else None
        event.handled, event.byteArray = True, True
        try:
            event.value = self._read(int(event.target.objectType), event.target.logicalName, event.index, selection)
        except AccessError as error:
            # Within a list gurux writes `error` as the choice (1: data-access-result) and then the value.
            in_list = self._get_type == GET_WITH_LIST
            event.error = ErrorCode(1) if in_list else ErrorCode(error.result)
            event.value = bytes([error.result]) if in_list else b""
        return int(AccessMode.READ)

    def _read(self, class_id: int, ln: str, index: int, selection: Selection | None) -> bytes:
        public = self.settings.clientAddress == PUBLIC_CLIENT and not self.cosem.plan.model.open
        if public and ln not in PUBLIC_OBJECTS:
            raise AccessError(ErrorCode.READ_WRITE_DENIED)
        return self.cosem.attribute(class_id, ln, index, selection)

    def onGetMethodAccess(self, _arg: object) -> int:  # noqa: N802 - gurux's name
        """Whether there is such a method is decided where it is called; the public client may call none."""
        public = self.settings.clientAddress == PUBLIC_CLIENT and not self.cosem.plan.model.open
        return int(MethodAccessMode.NO_ACCESS if public else MethodAccessMode.ACCESS)

    def onPreAction(self, args: object) -> None:  # noqa: N802 - gurux's name
        """Called before a method is: does it, and puts the error, where there is one, into gurux's argument."""
        for event in cast("list[_Event]", args):
            event.handled, event.value = True, 0  # type: ignore[assignment]  # a method that returns nothing
            try:
                given = cast("object", event.parameters)  # one value, or a structure's
                elements = given[:2] if isinstance(given, list) else []
                self.cosem.invoke(int(event.target.objectType), event.target.logicalName, event.index, *elements)
            except AccessError as error:
                event.error = ErrorCode(error.result)

    def getTransaction(self) -> object:  # noqa: N802 - gurux's handlers call it, its server lacks it
        """The long answer under way."""
        return self.transaction

    def setTransaction(self, value: _Transaction | None) -> None:  # noqa: N802 - as above
        """Keep the long answer under way, with the setter that gurux's block transfer calls on it."""
        if value is not None:
            value.setData = lambda rest: setattr(value, "data", rest)
        self.transaction = value

    def _nothing(self, *_: object) -> None:
        """What gurux announces and a meter need not know."""

    notifyRead = onPreRead = onPostRead = onPreWrite = onPostWrite = onPostAction = _nothing  # noqa: N815 - gurux' names
    onPreGet = onPostGet = onConnected = onDisconnected = onInvalidConnection = _nothing  # noqa: N815 - gurux' names


class _Transaction:
    """The fields of gurux's GXDLMSLongTransaction that are used."""

    data: object
    setData: Callable[[object], None]  # noqa: N815 - gurux' names - gurux's name


class _Event:
    """The fields of gurux's ValueEventArgs that are used."""

    target: GXDLMSObject
    index: int
    selector: int
    parameters: list[object]
    handled: bool
    byteArray: bool  # noqa: N815 - gurux' names - gurux's name
    value: bytes
    error: ErrorCode


class MeterConnection(asyncio.Protocol):
    """One head-end's connection to one meter. A frame that makes no sense ends it, as it does on real modems."""

    def __init__(self, cosem: Cosem, open_connections: set[MeterConnection]) -> None:
        self._cosem = cosem
        self._open = open_connections
        self._server: MeterServer | None = None
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but inheritance
        if self._cosem.image.away:
            self._transport.abort()
            return
        self._open.add(self)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Forget the association."""
        self._open.discard(self)
        self._transport = None
        self._server = None

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def restart(self, cosem: Cosem) -> None:
        """Hang up where it is this meter that restarts."""
        if self._cosem is cosem:
            self.close()

    def data_received(self, data: bytes) -> None:
        """Answer every whole wrapper frame (IEC 62056-47: version, source, destination, length, 16 bit each)."""
        self._buffer += data
        while len(self._buffer) >= HEADER and self._transport is not None:
            length = int.from_bytes(self._buffer[6:8], "big")
            if self._buffer[:2] != b"\x00\x01" or length > LARGEST_REQUEST:
                self.close()
                return
            if len(self._buffer) < HEADER + length:
                return
            frame = bytes(self._buffer[: HEADER + length])
            del self._buffer[: HEADER + length]
            self._answer(frame)

    def _answer(self, frame: bytes) -> None:
        if self._server is None:
            self._server = MeterServer(self._cosem)
        try:
            reply = self._server.answer(frame)
        except Exception:  # noqa: BLE001 - gurux raises anything on a request it cannot read; a meter then hangs up
            self.close()
            return
        if reply and self._transport is not None:
            self._transport.write(reply)
        if self._cosem.image.away:  # it restarts
            for connection in tuple(self._open):
                connection.restart(self._cosem)
