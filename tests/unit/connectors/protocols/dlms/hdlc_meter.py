"""Gurux' server on HDLC."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gurux_dlms import GXHdlcSettings
from gurux_dlms.enums import InterfaceType

from connectors.protocols.dlms.hdlc_parameters import Parameters
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, _Reply


class HdlcMeter(GuruxMeter):
    """Gurux' server on HDLC, its parameters put right: it writes their length where a value belongs."""

    def __init__(self, limits: Parameters, objects: Iterable[Any]) -> None:
        super().__init__(objects)
        self.settings.interfaceType = InterfaceType.HDLC
        self.hdlc = GXHdlcSettings()
        self.hdlc.maxInfoTX, self.hdlc.maxInfoRX = limits.max_transmit, limits.max_receive
        self.hdlc.windowSizeTX, self.hdlc.windowSizeRX = limits.window_transmit, limits.window_receive
        self.hdlc.maximumInfoLengthTransmit, self.hdlc.maximumInfoLengthReceive = limits.max_transmit, limits.max_receive
        self.hdlc.windowSizeReceive = self.hdlc.windowSizeTransmit = 1
        self.hdlc.inactivityTimeout = 0
        self.settings.hdlc.update = lambda _: None

    def handleSnrmRequest(self, data: Any) -> None:  # noqa: N802 - gurux' name
        super().handleSnrmRequest(data)
        size = len(self.replyData) - 3
        self.replyData.setUInt8(0, size)
        self.replyData.setUInt8(size, 2)

    def octets(self, request: bytes) -> bytes:
        """One frame and its answer."""
        reply = _Reply(request)
        self.handleRequest(reply)
        return bytes(reply.reply) if reply.reply else b""
