"""A meter whose keys can be changed: gurux-dlms parses and ciphers, what the change does to the meter is written here after
IEC 62056-6-2 (class 64, method 2), and its keys are unwrapped by `cryptography`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap
from gurux_dlms.enums import DataType, ErrorCode
from gurux_dlms.objects import GXDLMSSecuritySetup
from gurux_dlms.objects.enums import SecurityPolicy0
from gurux_dlms.objects.enums import SecuritySuite as GuruxSuite

from tests.unit.connectors.gateway.builders import AK, EK
from tests.unit.connectors.gateway.meters import ScriptedMeter
from tests.unit.connectors.protocols.dlms.gurux_meter import data
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import ObjectMeter
from tests.unit.connectors.protocols.dlms.secure_meter import METER_TITLE, REJECTED, SecureMeter

KEK = bytes(range(0x40, 0x50))
NAME = "0.0.96.1.0.255"
UNICAST, AUTHENTICATION, MASTER = 0, 2, 3


class _Setup(GXDLMSSecuritySetup):  # type: ignore[misc]  # no type hints upstream
    """What the port calls and stumbles over is its owner's."""

    def __init__(self, take: Callable[[Any], bool]) -> None:
        super().__init__()
        self.version = 0
        self.securityPolicy, self.securitySuite = SecurityPolicy0.NOTHING, GuruxSuite.SUITE_0
        self._take = take

    def invoke(self, _: object, e: Any) -> None:
        e.error = ErrorCode.OK if e.index == 2 and self._take(e.parameters) else ErrorCode.OTHER_REASON

    def applyKeys(self, *_: object) -> None:  # noqa: N802 - gurux' name
        return None


class KeyedMeter(ScriptedMeter):
    """Holds `keys` by kind. A transfer is `transfers` more, and taken once it was answered."""

    def __init__(self, *, ek: bytes = EK, ak: bytes = AK, kek: bytes = KEK, **more: Any) -> None:
        super().__init__()
        inner = ObjectMeter([_Setup(self._take), data(NAME, b"HES42", DataType.OCTET_STRING)])
        self.secure = SecureMeter(inner, ek=ek, ak=ak, title=METER_TITLE, **more)
        self.kek = kek
        self.refuses = False
        self.lies = False
        """Says that it took them, and does not."""
        self.resets = True
        """Whether it expects counters to begin anew with a new key."""
        self.says_nothing = False
        """To what it cannot decipher, where another would say no."""
        self.transfers: list[tuple[int, ...]] = []
        self.told: Callable[[], None] = lambda: None
        """Called when keys came, before they are answered."""
        self._new: dict[int, bytes] = {}

    @property
    def keys(self) -> tuple[bytes, bytes]:
        return self.secure.ek, self.secure.ak

    def answer(self, apdu: bytes) -> bytes:
        before = len(self.transfers)
        answer = self.secure.exchange(apdu)
        if len(self.transfers) > before:
            self.told()
        self.apply()
        return b"" if self.says_nothing and answer == REJECTED else answer

    def apply(self, *, taken: bool = True) -> None:
        """What was taken holds from now on."""
        new, self._new = self._new if taken else {}, {}
        self.kek = new.get(MASTER, self.kek)
        self.secure.ak = new.get(AUTHENTICATION, self.secure.ak)
        if UNICAST in new:
            self.secure.ek = new[UNICAST]
            if self.resets:
                self.secure.heard, self.secure.counter = -1, 0

    def _take(self, rows: Any) -> bool:
        self.transfers.append(tuple(int(kind) for kind, _ in rows))
        try:
            new = {int(kind): aes_key_unwrap(self.kek, bytes(wrapped)) for kind, wrapped in rows}
        except InvalidUnwrap:
            return False
        if self.refuses:
            return False
        self._new = {} if self.lies else new
        return True
