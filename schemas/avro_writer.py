"""Records to Avro bodies: a function a record class, made once from its schema; octet for octet what fastavro writes.

fastavro takes dicts and asks of each value of a column which branch of a union it is: 0.2 ms for a load profile with a
missing value, most of what a reading cost. Here a function is written for each record, as dataclasses are, so that nothing
is asked of the schema while records are written. Of IntervalReadings it begins

    def write(record, octets, columns):
        octets += (text(record.id), text(record.meter_id), text(record.source), varint(record.first_end), …)
        column(record.ends, octets, columns, False)
        …

and columns of longs of all records of a batch become octets in one go (`varints`). Only what the .avsc files use is known;
`compiled` says so of anything else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, TypeAlias

from schemas.longs import Longs
from schemas.varints import varint, varints

_FEW = 16
"""Longer columns are encoded by numpy, with all others of the batch."""

Encode: TypeAlias = Callable[[Sequence[Any]], list[bytes]]
"""The Avro bodies of records of one class, which cost less together. Raises what Python raises (TypeError, ValueError,
OverflowError, AttributeError, KeyError) where a field of one does not fit its schema."""
_Columns: TypeAlias = list[tuple[int, Longs, bool]]
"""Columns whose octets come at the end: place among the octets, numbers, whether each is a union of null and long."""
_Write: TypeAlias = Callable[[Any, list[bytes], _Columns], None]
_Block: TypeAlias = list[str]
"""Lines of source."""


def compiled(schema: Mapping[str, Any]) -> Encode:
    """The writer of a record schema, parsed by fastavro. ValueError where the schema has what no record of ours has."""
    write = _Source().function(schema)

    def encode(records: Sequence[Any]) -> list[bytes]:
        octets: list[bytes] = []
        columns: _Columns = []
        ends = []
        for record in records:
            write(record, octets, columns)
            ends.append(len(octets))
        if columns:
            written = varints([(column, union) for _, column, union in columns])
            for (place, _, _), some in zip(columns, written, strict=True):
                octets[place] = some
        start = 0
        return [b"".join(octets[start : (start := end)]) for end in ends]

    return encode


class _Source:
    """The source of one function, as it is written, and what it names."""

    def __init__(self) -> None:
        self._globals: dict[str, Any] = dict(_GLOBALS)
        self._named: dict[str, Any] = {}
        self._numbers = count()

    def function(self, schema: Mapping[str, Any]) -> _Write:
        """The function that appends a record's octets, and leaves room for its columns."""
        lines = ["def write(record, octets, columns):", *_indented(_lines(self._record(schema, "record")))]
        exec("\n".join(lines), self._globals)  # noqa: S102 - source written here, of names that were checked
        write: _Write = self._globals["write"]
        return write

    def _pieces(self, schema: Any, value: str) -> list[str | _Block]:
        """What writes a value: expressions of octets, and blocks of lines for what needs more."""
        if isinstance(schema, list):
            return [self._union([_plain(branch) for branch in schema], value)]
        schema = _plain(schema)
        if isinstance(schema, str):
            if schema in _SIMPLE:
                return [f"{_SIMPLE[schema]}({value})"]
            if schema not in self._named:
                raise ValueError(f"the type {schema!r} is not written here")
            schema = self._named[schema]
        match schema["type"]:
            case "record":
                return self._record(schema, value)
            case "array":
                return self._array(_plain(schema["items"]), value)
            case "map":
                return self._map(schema["values"], value)
            case "enum":
                self._named[schema["name"]] = schema
                return [f"{self._global({symbol: varint(at) for at, symbol in enumerate(schema['symbols'])})}[{value}]"]
        raise ValueError(f"the type {schema['type']!r} is not written here")

    def _record(self, schema: Mapping[str, Any], value: str) -> list[str | _Block]:
        pieces: list[str | _Block] = []
        for field in schema["fields"]:
            if not field["name"].isidentifier():
                raise ValueError(f"{field['name']!r} is no name of a field")
            pieces += self._pieces(field["type"], f"{value}.{field['name']}")
        self._named[schema["name"]] = schema
        return pieces

    def _array(self, items: Any, value: str) -> list[str | _Block]:
        if items == "double":
            return [f"doubles({value})"]
        union = isinstance(items, list) and [_plain(item) for item in items] == ["null", "long"]
        if union or items == "long":
            written = f"column({value}, octets, columns, {union})"
            return [[f"if len({value}):", f"    {written}", "else:", "    octets.append(none)"]]
        item = f"item_{next(self._numbers)}"
        return self._each(value, f"for {item} in {value}:", self._pieces(items, item))

    def _map(self, values: Any, value: str) -> list[str | _Block]:
        key, item = f"key_{next(self._numbers)}", f"item_{next(self._numbers)}"
        return self._each(value, f"for {key}, {item} in {value}.items():", [f"text({key})", *self._pieces(values, item)])

    def _each(self, value: str, loop: str, pieces: Sequence[str | _Block]) -> list[str | _Block]:
        """How many, each of them, and the end."""
        block = [f"if len({value}):", f"    octets.append(varint(len({value})))", f"    {loop}"]
        return [block + _indented(_indented(_lines(pieces))), "none"]

    def _union(self, branches: Sequence[Any], value: str) -> str:
        """By Python's type: null, int, float, text and octets are each at most one branch of ours; bool counts as int."""
        python = [_PYTHON.get(branch) if isinstance(branch, str) else None for branch in branches]
        if None in python or len(set(python)) < len(branches):
            raise ValueError(f"a union of {branches} is not written here")
        if len(branches) == 2 and branches[0] == "null":
            return f"(none if {value} is None else second + {_SIMPLE[branches[1]]}({value}))"
        heads = {kind: (varint(place), _GLOBALS[_SIMPLE[branches[place]]]) for place, kind in enumerate(python)}

        def write(value: Any) -> bytes:
            head, branch = heads[type(value)]
            octets: bytes = head + branch(value)
            return octets

        return f"{self._global(write)}({value})"

    def _global(self, what: Any) -> str:
        name = f"_{next(self._numbers)}"
        self._globals[name] = what
        return name


def _lines(pieces: Sequence[str | _Block]) -> _Block:
    """Source of pieces: expressions side by side are appended together."""
    lines: _Block = []
    alike: list[str] = []
    for piece in (*pieces, []):
        if isinstance(piece, str):
            alike.append(piece)
            continue
        if alike:
            lines.append(f"octets += ({', '.join(alike)},)")
            alike = []
        lines += piece
    return lines or ["pass"]


def _indented(lines: _Block) -> _Block:
    return [f"    {line}" for line in lines]


def _plain(schema: Any) -> Any:
    """The name of a primitive type, also where it is written as an object."""
    named = isinstance(schema, Mapping) and isinstance(schema["type"], str) and schema["type"] in _SIMPLE
    return schema["type"] if named else schema


def _column(values: Sequence[int | None], octets: list[bytes], columns: _Columns, union: bool) -> None:
    """An array of longs, or of unions of null and long, with items."""
    octets.append(varint(len(values)))
    if len(values) > _FEW:
        column = values if isinstance(values, Longs) else Longs.of(values)
        if not union and any(column.missing):
            raise TypeError("nothing where a number belongs")
        columns.append((len(octets), column, union))
        octets.append(b"")
    elif union:
        octets += [b"\0" if value is None else b"\2" + varint(value) for value in values]
    else:
        octets += map(varint, values)  # type: ignore[arg-type]  # varint refuses what is no int
    octets.append(b"\0")


@lru_cache(maxsize=16_384)
def _text(value: str) -> bytes:
    """Names, units and ids of meters come again and again."""
    octets = value.encode()
    return varint(len(octets)) + octets


def _bytes(value: bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} where octets belong")
    return varint(len(value)) + value


def _doubles(values: Sequence[float]) -> bytes:
    return varint(len(values)) + struct.pack(f"<{len(values)}d", *values) + b"\0" if len(values) else b"\0"


def _boolean(value: bool) -> bytes:
    return b"\1" if value else b"\0"


_PYTHON: dict[str, type] = {
    "null": type(None),
    "boolean": bool,
    "int": int,
    "long": int,
    "double": float,
    "string": str,
    "bytes": bytes,
}
_SIMPLE = {
    "null": "null",
    "boolean": "boolean",
    "int": "varint",
    "long": "varint",
    "double": "double",
    "string": "text",
    "bytes": "octets_of",
}
"""Types to what writes them, as the source names it."""
_GLOBALS: dict[str, Any] = {
    "none": b"\0",  # of an array or a map, and the first branch of a union
    "second": varint(1),
    "null": lambda _: b"",
    "boolean": _boolean,
    "varint": varint,
    "double": struct.Struct("<d").pack,
    "text": _text,
    "octets_of": _bytes,
    "doubles": _doubles,
    "column": _column,
}
