"""`hes bench decode`: a day's load profile of four channels, plain and ciphered, and a push; gurux-dlms beside it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import ModuleType

from connectors.cli.bench.measure import repeated
from connectors.protocols.dlms.ciphering import Keys, cipher, decipher
from connectors.protocols.dlms.decode import decode_stream
from connectors.protocols.dlms.profile import parse_profile
from connectors.protocols.dlms.profile_shape import Column, ProfileShape

ROWS, CHANNELS = 96, 4
_TITLE = bytes.fromhex("4D4D4D0000BC614E")
_KEYS = Keys(ek=bytes(range(16)), ak=bytes(range(0xD0, 0xE0)))
_START = datetime(2026, 3, 1, 0, 15, tzinfo=UTC)
_SHAPE = ProfileShape(
    "1.0.99.1.0.255",
    (
        Column(8, "0.0.1.0.0.255", 2),
        Column(1, "0.0.96.10.1.255", 2),
        *(Column(3, f"1.0.{c}.8.0.255", 2, scaler=0, unit="Wh") for c in range(1, CHANNELS + 1)),
    ),
    900,
)


def run(seconds: float) -> Iterator[dict[str, object]]:
    """A row for each workload and reader."""
    buffer = profile()
    read = parse_profile(buffer, _SHAPE)
    if (read.rows, [list(map(int, channel.values)) for channel in read.channels]) != (ROWS, truth()):
        raise AssertionError("the profile is not read as it was written: no figure is worth anything")
    yield repeated(lambda: parse_profile(buffer, _SHAPE), seconds).row("profile 96x4", "hes", ROWS)
    theirs = _gurux()
    if theirs is not None:
        yield repeated(lambda: theirs.parse(buffer), seconds).row("profile 96x4", "gurux-dlms", ROWS)
    sealed = cipher(buffer, _KEYS, _TITLE, 1)
    opened = repeated(lambda: parse_profile(decipher(sealed, lambda _: _KEYS).plain, _SHAPE), seconds)
    yield opened.row("profile 96x4, ciphered", "hes", ROWS)
    if theirs is not None:
        open_ = theirs.opener(_KEYS, _TITLE)
        yield repeated(lambda: open_(sealed), seconds).row("profile 96x4, ciphered", "gurux-dlms", ROWS)
    telegram = push()
    yield repeated(lambda: list(decode_stream(telegram, lambda _: None)), seconds).row("push of 8 registers", "hes", 8)


def truth() -> list[list[int]]:
    """The values of each channel."""
    return [[100_000 * (channel + 1) + 37 * row for row in range(ROWS)] for channel in range(CHANNELS)]


def profile() -> bytes:
    """The buffer as a meter sends it: an array of structures of clock, status and registers (A-XDR)."""
    rows = zip(*truth(), strict=True)
    out = bytearray((0x01, ROWS))
    for number, values in enumerate(rows):
        out += bytes((0x02, 2 + CHANNELS)) + b"\x09\x0c" + _date_time(_START + timedelta(minutes=15 * number)) + b"\x11\x00"
        for value in values:
            out += struct.pack(">BI", 0x06, value)
    return bytes(out)


def push() -> bytes:
    """A data-notification in a wrapper: eight registers, each with OBIS, value, scaler and unit."""
    body = bytearray((0x02, 8))
    for number in range(1, 9):
        body += b"\x02\x03\x09\x06" + bytes((1, 0, number, 8, 0, 255)) + struct.pack(">BI", 0x06, 1000 * number)
        body += b"\x02\x02\x0f\x00\x16\x1e"
    apdu = b"\x0f\x00\x00\x00\x01\x0c" + _date_time(_START) + bytes(body)
    return struct.pack(">HHHH", 1, 1, 16, len(apdu)) + apdu


def _date_time(at: datetime) -> bytes:
    year, weekday = at.year, at.isoweekday()
    return struct.pack(">HBBBBBBBhB", year, at.month, at.day, weekday, at.hour, at.minute, at.second, 0, 0, 0)


def _gurux() -> ModuleType | None:
    """gurux-dlms as a peer, where it is installed."""
    try:
        return import_module("connectors.cli.bench.decode_gurux")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "gurux_dlms":
            raise
        return None
