"""Octets to elements: every value of a table with its name and place."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.context import Context
from connectors.protocols.c12.tables.layouts import Array, BitField, RecordType, Type, decode_bits, present, size
from connectors.protocols.c12.tables.types import ScalarType, count_of
from connectors.protocols.c12.tables.values import Record, Value


@dataclass(frozen=True, slots=True)
class Element:
    """A value where it stands. `children` are the members of a record or the items of an array."""

    name: str
    at: int
    size: int
    value: Value
    children: tuple[Element, ...] = ()
    secret: bool = False


@dataclass(slots=True)
class Reader:
    """A table's octets, read from the front."""

    data: bytes
    context: Context
    at: int = 0
    part: range | None = None
    """Where `data` lies in the table, where it is not all of it: what does not lie wholly in it is passed over."""

    def take(self, octets: int, name: str) -> bytes | None:
        """The next octets; None where they are passed over. Raises DecodeError "table-size" where the table ends before."""
        self.at += octets
        if self.part is not None:
            start = self.at - octets
            return self.data[start - self.part.start : self.at - self.part.start] if self._inside(start) else None
        if self.at > len(self.data):
            detail = (
                f"{name} needs {octets} octets at {self.at - octets}, the table has {len(self.data)}: it was read in part, "
                "or the tables that size it are of another meter"
            )
            raise DecodeError("table-size", detail)
        return self.data[self.at - octets : self.at]

    def _inside(self, start: int) -> bool:
        return self.part is not None and self.part.start <= start and self.at <= self.part.stop

    def read(self, name: str, kind: Type) -> Element:
        """One value of any type."""
        start = self.at
        match kind:
            case ScalarType():
                octets = self.take(kind.size(self.context), name)
                value: Value = None if octets is None else kind.decode(octets, self.context)
                return Element(name, start, self.at - start, value, (), kind.secret)
            case BitField():
                octets = self.take(kind.octets, name)
                return Element(name, start, kind.octets, None if octets is None else decode_bits(kind, octets, self.context))
            case Array():
                return self._array(name, kind)
            case RecordType():
                return self._record(name, kind)

    def _array(self, name: str, kind: Array) -> Element:
        start, count = self.at, count_of(kind.count, self.context)
        first, last = 0, count
        unit = size(kind.of, self.context) if self.part is not None and count else 0
        if self.part is not None and unit:
            first = min(max(self.part.start - start, 0) // unit, count)
            last = min(-(-max(self.part.stop - start, 0) // unit), count)
            self.at += first * unit
        items = []
        for index in range(first, last):
            item = self.read(f"{name}[{index}]", kind.of)
            if item.size == 0:  # nothing in any of them: as many as the count says would cost memory and say nothing
                return Element(name, start, 0, ())
            items.append(item)
        self.at += (count - max(first, last)) * unit
        return Element(name, start, self.at - start, tuple(item.value for item in items), tuple(items))

    def _record(self, name: str, kind: RecordType) -> Element:
        start = self.at
        fields: dict[str, Value] = {}
        children = []
        self.context.frames.append(fields)
        try:
            for member in present(kind.members, self.context):
                child = self.read(member.name, member.type)
                fields[member.name] = child.value
                children.append(child)
        finally:
            self.context.frames.pop()
        return Element(name, start, self.at - start, Record(fields), tuple(children))
