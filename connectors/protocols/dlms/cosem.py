"""COSEM names, units and times (IEC 62056-6-1 OBIS, IEC 62056-6-2 "Unit" and "Date and time formats")."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from connectors.protocols.dlms.errors import DecodeError

CLOCK = "0.0.1.0.0.255"
LOGICAL_DEVICE_NAME = "0.0.42.0.0.255"
SERIAL = "0.0.96.1.0.255"

UNITS = {
    1: "a", 2: "mo", 3: "wk", 4: "d", 5: "h", 6: "min", 7: "s", 8: "°", 9: "°C", 10: "currency",
    11: "m", 12: "m/s", 13: "m³", 14: "m³", 15: "m³/h", 16: "m³/h", 17: "m³/d", 18: "m³/d", 19: "l", 20: "kg",
    21: "N", 22: "Nm", 23: "Pa", 24: "bar", 25: "J", 26: "J/h", 27: "W", 28: "VA", 29: "var", 30: "Wh",
    31: "VAh", 32: "varh", 33: "A", 34: "C", 35: "V", 36: "V/m", 37: "F", 38: "Ω", 39: "Ωm²/m", 40: "Wb",
    41: "T", 42: "A/m", 43: "H", 44: "Hz", 45: "1/(Wh)", 46: "1/(varh)", 47: "1/(VAh)", 48: "V²h", 49: "A²h", 50: "kg/s",
    51: "S", 52: "K", 53: "1/(V²h)", 54: "1/(A²h)", 55: "1/m³", 56: "%", 57: "Ah",
    60: "Wh/m³", 61: "J/m³", 62: "Mol%", 63: "g/m³", 64: "Pa s", 65: "J/kg", 66: "g/cm²", 67: "atm",
    70: "dBm", 71: "dBµV", 72: "dB",
    254: "other", 255: "",
}  # fmt: skip
"""The unit enum as a symbol; 255 is a count or no unit. 14, 16 and 18 are the corrected volumes and flows."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_GIVEN = -0x8000
_MAX_DEVIATION = 14 * 60
_DAYLIGHT = 0x80


def unit_symbol(code: int) -> str:
    """The symbol of a unit enum; one that the table lacks keeps its number, as "unit 128"."""
    return UNITS.get(code, f"unit {code}")


def obis(octets: bytes) -> str:
    """Six octets as "A.B.C.D.E.F"."""
    if len(octets) != 6:
        raise DecodeError("dlms-axdr", f"an OBIS code has 6 octets, not {len(octets)}")
    return "{}.{}.{}.{}.{}.{}".format(*octets)


@lru_cache(maxsize=4_096)
def obis_bytes(text: str) -> bytes:
    """The six octets of "A.B.C.D.E.F" or of the usual "A-B:C.D.E*F"; F defaults to 255. ValueError where it is no OBIS."""
    parts = text.replace("-", ".").replace(":", ".").replace("*", ".").split(".")
    if len(parts) == 5:
        parts.append("255")
    if len(parts) != 6:
        raise ValueError(f"{text!r} is no OBIS code: six numbers A.B.C.D.E.F are expected")
    try:
        return bytes(int(part) for part in parts)
    except ValueError:
        raise ValueError(f"{text!r} is no OBIS code: each group is a number from 0 to 255") from None


@dataclass(frozen=True, slots=True)
class MeterTime:
    """A time as the meter says it: local, with the deviation (minutes, local to UTC, normal sign) where it gave one."""

    iso: str
    """What the telegram says; an offset only where a deviation is given, as in "2022-11-12T16:54:00+01:00"."""
    local: datetime
    """The same, naive."""
    deviation: int | None
    status: int | None
    """Clock status; bit 7 is daylight saving. None where not given (0xFF)."""

    @property
    def utc_ms(self) -> int | None:
        """Milliseconds since the epoch, None where the meter gave no deviation."""
        return None if self.deviation is None else self.to_utc_ms(UTC)

    def to_utc_ms(self, zone: tzinfo) -> int:
        """Milliseconds since the epoch; `zone` is the meter's, for a time without deviation.

        The hour that a clock change repeats is told apart by the daylight saving bit of the clock status.
        """
        if self.deviation is not None:
            at = self.local.replace(tzinfo=UTC) + timedelta(minutes=self.deviation)
        else:
            winter = self.status is not None and not self.status & _DAYLIGHT
            at = self.local.replace(tzinfo=zone, fold=int(winter))
        return (at - _EPOCH) // timedelta(milliseconds=1)


def parse_datetime(octets: bytes, *, deviation_reversed: bool = False) -> MeterTime | None:
    """The time in twelve octets (IEC 62056-6-2 "date-time"); None where the meter leaves it unspecified (wildcards).

    A missing second or hundredth counts as zero, the day of the week is not looked at. `deviation_reversed` is for markets
    that send UTC to local. DecodeError "dlms-time" where the fields are no date or time.
    """
    if len(octets) != 12:
        raise DecodeError("dlms-time", f"a date-time has 12 octets, not {len(octets)}")
    year, month, day = octets[0] << 8 | octets[1], octets[2], octets[3]
    hour, minute, second, hundredth = octets[5:9]
    if year == 0xFFFF or month >= 0xFD or day >= 0xFD or 0xFF in (hour, minute):
        return None
    second = 0 if second == 0xFF else second
    hundredth = 0 if hundredth == 0xFF else hundredth
    try:
        if year < 1900:
            raise ValueError  # noqa: TRY301 - the same refusal as for a 13th month
        local = datetime(year, month, day, hour, minute, second, hundredth * 10_000)
    except ValueError:
        raise DecodeError("dlms-time", f"{octets.hex().upper()} is no date-time: check the meter's clock") from None
    deviation: int | None = int.from_bytes(octets[9:11], "big", signed=True)
    if deviation == _NOT_GIVEN or abs(deviation or 0) > _MAX_DEVIATION:
        deviation = None
    elif deviation is not None and deviation_reversed:
        deviation = -deviation
    status = None if octets[11] == 0xFF else octets[11]
    iso = local.isoformat(timespec="milliseconds" if hundredth else "seconds")
    if deviation is not None:
        iso += timezone(timedelta(minutes=-deviation)).tzname(None)[3:] or "+00:00"
    return MeterTime(iso, local, deviation, status)


def try_datetime(octets: bytes, *, deviation_reversed: bool = False) -> MeterTime | None:
    """`parse_datetime`, with None also for octets that are no time."""
    try:
        return parse_datetime(octets, deviation_reversed=deviation_reversed)
    except DecodeError:
        return None
