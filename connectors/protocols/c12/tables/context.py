"""What reading or writing a field needs besides its octets: the formats of table 0, and where names are looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.numerals import IntFormat, NiFormat, Order
from connectors.protocols.c12.tables.times import TimeFormat
from connectors.protocols.c12.tables.values import Record, Value


@dataclass(frozen=True, slots=True)
class Formats:
    """The formats that table 0 chooses for all other tables."""

    order: Order = "little"
    characters: int = 1
    """CHAR_FORMAT: 1 ISO 646, 2 ISO 8859-1, 3 UTF-8, 4 UTF-16, 5 UTF-32."""
    time: TimeFormat = TimeFormat.UINT8
    integer: IntFormat = IntFormat.TWOS_COMPLEMENT
    ni1: NiFormat = NiFormat.FLOAT64
    ni2: NiFormat = NiFormat.FLOAT64


@dataclass(slots=True)
class Context:
    """One table being read or written. `frames` are the records around the field, the innermost last."""

    formats: Formats
    tables: Mapping[str, Record]
    """Tables read before, by name."""
    frames: list[Mapping[str, Value]] = field(default_factory=list)

    def lookup(self, table: str | None, field: str) -> Any:
        """See `expressions.Scope`."""
        if table is None:
            return self._local(field)
        known = self.tables.get(table)
        if known is None:
            detail = f"the size of the table depends on {table}.{field}: read {table} first"
            raise DecodeError("table-prerequisite", detail)
        try:
            return known.find(field)
        except KeyError:
            raise DecodeError(
                "table-prerequisite", f"{table} has no {field}: the meter's {table} is of another form"
            ) from None

    def _local(self, name: str) -> Value:
        for frame in reversed(self.frames):
            if name in frame:
                return frame[name]
            for value in frame.values():
                if isinstance(value, Record):
                    try:
                        return value.find(name)
                    except KeyError:
                        continue
        raise DecodeError("table-prerequisite", f"{name} stands in the table itself: its octets are needed to size it")
