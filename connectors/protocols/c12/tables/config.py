"""Table 0: what all other tables are read by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.context import Context, Formats
from connectors.protocols.c12.tables.decade0 import GEN_CONFIG
from connectors.protocols.c12.tables.declarations import MANUFACTURER
from connectors.protocols.c12.tables.numerals import IntFormat, NiFormat
from connectors.protocols.c12.tables.reading import Reader
from connectors.protocols.c12.tables.times import TimeFormat
from connectors.protocols.c12.tables.values import Record

_E = TypeVar("_E", IntFormat, NiFormat, TimeFormat)


@dataclass(frozen=True, slots=True)
class GenConfig:
    """Table 0, understood."""

    record: Record
    formats: Formats
    tables: frozenset[int]
    """The tables that the meter has; a manufacturer's are from 2048 on."""
    writable: frozenset[int]
    procedures: frozenset[int]
    """Likewise."""

    @property
    def version(self) -> int:
        """The edition: 1 is of 1997, 2 of 2008."""
        return self.record.integer("STD_VERSION_NO")

    @property
    def offset_reads(self) -> bool:
        """Whether the meter says that it reads tables by offset and count."""
        return self.record.integer("DATA_ACCESS_METHOD") in (1, 3)


def read_config(data: bytes) -> GenConfig:
    """Table 0 out of its octets. Raises DecodeError: "table-size", or "table-format" for a format that is not in the
    standard.
    """
    if not data:
        raise DecodeError("table-size", "table 0 is empty: read it again")
    order = Formats("big" if data[0] & 1 else "little")
    element = Reader(data, Context(order, {})).read(GEN_CONFIG.name, GEN_CONFIG.layout)
    if not isinstance(element.value, Record):
        raise TypeError(element)
    return config_of(element.value)


def config_of(record: Record) -> GenConfig:
    """Table 0 out of its fields. Raises DecodeError "table-format"."""
    formats = Formats(
        "big" if record.integer("DATA_ORDER") else "little",
        record.integer("CHAR_FORMAT"),
        _format(record, "TM_FORMAT", TimeFormat),
        _format(record, "INT_FORMAT", IntFormat),
        _format(record, "NI_FORMAT1", NiFormat),
        _format(record, "NI_FORMAT2", NiFormat),
    )
    return GenConfig(
        record,
        formats,
        record.members("STD_TBLS_USED") | _above(record.members("MFG_TBLS_USED")),
        record.members("STD_TBLS_WRITE") | _above(record.members("MFG_TBLS_WRITE")),
        record.members("STD_PROC_USED") | _above(record.members("MFG_PROC_USED")),
    )


def _format(record: Record, name: str, kind: type[_E]) -> _E:
    code = record.integer(name)
    try:
        return kind(code)
    except ValueError:
        detail = f"{name} {code} is not in the standard: the octets are no table 0, or the meter is newer than what is known"
        raise DecodeError("table-format", detail) from None


def _above(numbers: frozenset[int]) -> frozenset[int]:
    return frozenset(number + MANUFACTURER for number in numbers)
