"""gurux-dlms as the peer of `hes bench decode`. Imported only where it is installed: it is GPL-2.0, and an extra."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace
from typing import Any

from gurux_dlms import GXByteBuffer
from gurux_dlms.AesGcmParameter import AesGcmParameter
from gurux_dlms.GXCiphering import GXCiphering
from gurux_dlms.internal._GXCommon import _GXCommon
from gurux_dlms.internal._GXDataInfo import _GXDataInfo

from connectors.protocols.dlms.ciphering import Keys


def parse(buffer: bytes) -> Any:
    """What gurux makes of A-XDR."""
    return _GXCommon.getData(None, GXByteBuffer(buffer), _GXDataInfo())


def opener(keys: Keys, title: bytes) -> Callable[[bytes], Any]:
    """The same of a ciphered APDU of the meter with this system title."""
    settings = SimpleNamespace(cipher=GXCiphering(title))

    def work(sealed: bytes) -> Any:
        parameter = AesGcmParameter(0, title, keys.ek, keys.ak)
        with redirect_stdout(StringIO()):  # it tells what it does on stdout
            plain = GXCiphering.decrypt(settings, parameter, GXByteBuffer(sealed))
        return parse(plain)

    return work
