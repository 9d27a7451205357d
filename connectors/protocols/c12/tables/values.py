"""Decoded values: numbers, texts, times, and records of them by the standard's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TypeAlias, TypeVar, Union

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.numerals import Number
from connectors.protocols.c12.tables.times import TableTime

Scalar: TypeAlias = Union[int, float, Decimal, str, bytes, frozenset[int], TableTime, None]  # noqa: UP007 - forward reference
Value: TypeAlias = Union[Scalar, "tuple[Value, ...]", "Record"]

MASKED = "********"
"""The value of a field that is a password or a key."""

SPARE = ""
"""The name under which a bit field keeps bits that have no name and are set."""

_T = TypeVar("_T")


class Record(Mapping[str, Value]):
    """Fields by name, in the order of the table. Cannot be changed; `changed` makes another one.

    The typed readers raise DecodeError "table-shape" where a field is missing or of another kind: a table of another meter,
    or a declaration that does not fit.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, Value]) -> None:
        self._fields = dict(fields)

    def __getitem__(self, name: str) -> Value:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Record({self._fields!r})"

    def changed(self, **fields: Value) -> Record:
        """The same with other values."""
        return Record({**self._fields, **fields})

    def find(self, name: str) -> Value:
        """A field of this record or, at any depth, of records and bit fields in it, as the standard's expressions name it.

        KeyError where there is none.
        """
        if name in self._fields:
            return self._fields[name]
        for value in self._fields.values():
            if type(value) is Record:  # isinstance asks the abstract base, at some cost, of everything that is none
                try:
                    return value.find(name)
                except KeyError:
                    continue
        raise KeyError(name)

    def integer(self, name: str) -> int:
        """A whole number."""
        return self._as(name, int)

    def flag(self, name: str) -> bool:
        """A flag."""
        return bool(self._as(name, int))

    def text(self, name: str) -> str:
        """A text without the blanks and zeros that fill it up."""
        return self._as(name, str).strip(" \0")

    def octets(self, name: str) -> bytes:
        """Octets."""
        return self._as(name, bytes)

    def members(self, name: str) -> frozenset[int]:
        """A set's members."""
        return self._as(name, frozenset)

    def time(self, name: str) -> TableTime:
        """A time."""
        return self._as(name, TableTime)

    def record(self, name: str) -> Record:
        """A record or bit field."""
        return self._as(name, Record)

    def records(self, name: str) -> tuple[Record, ...]:
        """An array of records."""
        found = self._as(name, tuple)
        if not all(isinstance(item, Record) for item in found):
            raise _shape(name, "an array of records")
        return found

    def number(self, name: str) -> Number:
        """A number in any of the formats of table 0."""
        value = self._get(name)
        if not isinstance(value, (int, float, Decimal)):
            raise _shape(name, "a number")
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """An array of whole numbers."""
        found = self._as(name, tuple)
        if not all(isinstance(item, int) for item in found):
            raise _shape(name, "an array of whole numbers")
        return found

    def array(self, name: str) -> tuple[Value, ...]:
        """An array of anything."""
        return self._as(name, tuple)

    def _get(self, name: str) -> Value:
        try:
            return self.find(name)
        except KeyError:
            raise _shape(name, "there") from None

    def _as(self, name: str, kind: type[_T]) -> _T:
        value = self._get(name)
        if not isinstance(value, kind):
            raise _shape(name, f"a {kind.__name__}")
        return value


def _shape(name: str, expected: str) -> DecodeError:
    detail = f"field {name} is not {expected}: the table is of another form than its declaration, or of another meter"
    return DecodeError("table-shape", detail)
