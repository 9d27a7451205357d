"""Rows of a profile buffer, many at a stroke: how a row lies in the buffer is learnt once, and rows like it are not decoded.

A meter writes row after row with the same tags and sizes. A row of it says where each column's octets lie; rows that match
its tags, its lengths and its head octet for octet are then taken as they are: column by column where all rows are so, row by
row where some are odd (null-data, a value that needs a wider type) and have a layout of their own. What no fixed layout
describes (nested columns, compact arrays, more layouts than `_MAX_LAYOUTS`) is left to the plain decoder.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.axdr import Octets
from connectors.protocols.dlms.errors import DecodeError
from connectors.protocols.dlms.gaps import Gaps
from connectors.protocols.dlms.profile_times import DATE_TIME, Remembered

INT64_MAX = (1 << 63) - 1

Cell: TypeAlias = "int | float | str | bytes | axdr.BitString | None"
"""One value of one row: an unsigned integer beyond int64 is its digits, what is nested is its encoding."""

Column: TypeAlias = "NDArray[np.int64] | NDArray[np.float64] | Gaps | list[Cell]"
"""The values of all rows. An array where all are numbers of one kind, whole numbers with gaps, else a list."""

_NUMBERS = {
    axdr.BOOLEAN: "u1", axdr.INT32: ">i4", axdr.UINT32: ">u4", 7: ">f4", axdr.BCD: "i1", axdr.INT8: "i1", axdr.INT16: ">i2",
    axdr.UINT8: "u1", axdr.UINT16: ">u2", axdr.INT64: ">i8", axdr.UINT64: ">u8", axdr.ENUM: "u1", axdr.FLOAT32: ">f4",
    axdr.FLOAT64: ">f8",
}  # fmt: skip
_STRUCT = {
    "u1": "B",
    "i1": "b",
    ">i2": "h",
    ">u2": "H",
    ">i4": "i",
    ">u4": "I",
    ">i8": "q",
    ">u8": "Q",
    ">f4": "f",
    ">f8": "d",
}
_SIZES = {
    axdr.NULL: 0,
    axdr.DONT_CARE: 0,
    **{tag: np.dtype(kind).itemsize for tag, kind in _NUMBERS.items()},
    axdr.DATE_TIME: 12,
    axdr.DATE: 5,
    axdr.TIME: 4,
}
_TEXTS = (axdr.VISIBLE_STRING, axdr.UTF8_STRING)
_SIZED = (axdr.OCTET_STRING, axdr.BIT_STRING, *_TEXTS)
_EMPTY = frozenset((axdr.NULL, axdr.DONT_CARE))
_FLOATS = frozenset((7, axdr.FLOAT32, axdr.FLOAT64))
_WHOLE = frozenset(_NUMBERS) - _FLOATS - {axdr.BOOLEAN, axdr.UINT64}
_COUNTED = _WHOLE | _EMPTY | {axdr.BOOLEAN, axdr.UINT64}
_OCTETS = frozenset((axdr.OCTET_STRING, axdr.DATE_TIME, axdr.DATE, axdr.TIME))
_DOTS = 8  # so many are matched faster one by one than counted
_MAX_LAYOUTS = 12
_MAX_COMPANY = 16


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """Columns side by side with the same type of number: one strided view holds them all."""

    first: int
    columns: int
    tag: int
    kind: np.dtype[Any]
    offset: int
    stride: int


class Marks(NamedTuple):
    """What is true of columns, a bit each, from the lowest."""

    whole: int
    """Whole numbers within int64, or null-data."""
    dated: int
    """Twelve octets, or null-data."""
    empty: int
    """null-data, in some rows at least."""

    def both(self, other: Marks) -> Marks:
        """What is true of rows of both kinds."""
        return Marks(self.whole & other.whole, self.dated & other.dated, self.empty | other.empty)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """One way in which a row lies in the buffer."""

    columns: tuple[tuple[int, int], ...]
    """Tag and size of each: bits of a bit-string, octets of the rest."""
    size: int
    offsets: tuple[int, ...]
    """Where the octets of each column begin."""
    bands: tuple[Band, ...]
    others: tuple[int, ...]
    """Columns that are no numbers."""
    fixed: bytes
    """0xFF where an octet of a row is head, tag or length, 0 where it is a value."""
    pattern: bytes
    """A regular expression of one row."""
    cells: struct.Struct
    special: tuple[tuple[int, int, int], ...]
    """Column, tag and size of what `cells` does not make a cell of by itself."""
    marks: Marks
    company: Company = field(default_factory=lambda: Company())  # noqa: PLW0108 - it is defined below
    remembered: Remembered = field(default_factory=Remembered)

    def read(self, data: bytes, at: int, count: int, but: int | None = None) -> list[Column]:
        """The columns of `count` rows from `at` on, which must be of this layout; column `but` is left empty."""
        found: list[Column] = [[]] * len(self.columns)
        for band in self.bands:
            cells: NDArray[Any] = np.ndarray(
                (band.columns, count), band.kind, data, at + band.offset, (band.stride, self.size)
            )
            if band.tag == axdr.UINT64 and cells.max(initial=0) > INT64_MAX:
                found[band.first : band.first + band.columns] = [[_whole(n) for n in row] for row in cells.tolist()]
                continue
            if band.tag == axdr.BOOLEAN:
                cells = cells != 0
            numbers = cells.astype(np.float64 if band.kind.kind == "f" else np.int64, "C")
            found[band.first : band.first + band.columns] = numbers
        for i in self.others:
            if i != but:
                tag, size = self.columns[i]
                found[i] = [_cell(octets, tag, size) for octets in self.octets(data, at, count, i)]
        return found

    def counts(self, clock: int) -> bool:
        """Whether all but the clock are whole numbers or null-data, and the clock a date-time or null-data."""
        return self.marks.dated >> clock & 1 == 1 and all(
            tag in _COUNTED for i, (tag, _) in enumerate(self.columns) if i != clock
        )

    def octets(self, data: bytes, at: int, count: int, column: int) -> list[bytes]:
        """A column that is no number, as it lies in each row."""
        tag, size = self.columns[column]
        width = (size + 7) // 8 if tag == axdr.BIT_STRING else size
        if not width:
            return [b""] * count
        cells: NDArray[np.void] = np.ndarray((count,), f"V{width}", data, at + self.offsets[column], (self.size,))
        octets: list[bytes] = cells.tolist()
        return octets

    def row(self, data: bytes, at: int) -> Sequence[Cell]:
        """The one row at `at`."""
        cells = self.cells.unpack_from(data, at)
        return self._finished(cells) if self.special else cells

    def _finished(self, values: tuple[Any, ...]) -> list[Cell]:
        cells = list(values)
        for i, tag, size in self.special:
            value = cells[i]
            if tag == axdr.NULL:
                cells[i] = None
            elif type(value) is bytes:
                cells[i] = _cell(value, tag, size)
            else:
                cells[i] = int(value != 0) if tag == axdr.BOOLEAN else _whole(value)
        return cells


class Company:
    """The odd layouts met among rows of one layout: one match finds the next odd row, and which it is."""

    __slots__ = ("_pattern", "layouts")

    def __init__(self) -> None:
        self.layouts: list[Layout] = []
        self._pattern: re.Pattern[bytes] | None = None

    def pattern(self, usual: Layout) -> re.Pattern[bytes]:
        """As many rows of the usual layout as there are, then an odd one that is known: a group each, as in `layouts`."""
        if self._pattern is None:
            odd = b"|".join(b"(" + layout.pattern + b")" for layout in self.layouts)
            self._pattern = re.compile(b"(?:" + usual.pattern + b")*+" + (b"(?:" + odd + b")?" if odd else b""), re.DOTALL)
        return self._pattern

    def add(self, layout: Layout) -> None:
        """Know this one the next time; beyond `_MAX_COMPANY` it stays a stranger, which costs time only."""
        if len(self.layouts) < _MAX_COMPANY:
            self.layouts.append(layout)
            self._pattern = None


class Alike(NamedTuple):
    """All rows of a buffer have one layout and begin at `at`."""

    layout: Layout
    at: int
    end: int


class Mixed(NamedTuple):
    """Rows of `layout`, one after the other in `data`; those in `odd` are of another: zeros there, and what `odd` says."""

    layout: Layout
    data: bytes
    odd: dict[int, Sequence[Cell]]
    marks: Marks
    """Of all rows."""
    usual: Layout
    """The layout that most of them have."""
    end: int
    """Where they end in the buffer."""


def read_rows(data: bytes, at: int, count: int, columns: int, usual: Layout | None = None) -> Alike | Mixed | None:
    """The `count` rows (at least one) that start at `at`. `usual` is the layout that rows of this profile had before.

    None where the plain decoder must read them. DecodeError where a row has another number of columns, or ends early.
    """
    main = usual or _learn(data, at, columns)
    if main is None:
        return None
    start, size, company = at, main.size, main.company
    pattern = company.pattern(main)
    parts: list[bytes] = []
    odd: dict[int, Sequence[Cell]] = {}
    marks, blank = main.marks, bytes(size)
    seen: dict[Layout, int] = {}
    row = 0
    while True:
        matched = pattern.match(data, at)
        which = matched.lastindex if matched else None
        after = (matched.start(which) if which else matched.end()) if matched else at
        row += (after - at) // size
        if row >= count:
            after -= (row - count) * size
            if not seen:
                return Alike(main, start, after)
            parts.append(data[at:after])
            break
        parts.append(data[at:after])
        other = company.layouts[which - 1] if which else _learn(data, after, columns)
        if other is None or (other not in seen and len(seen) == _MAX_LAYOUTS):
            return None
        if not which:
            company.add(other)
            pattern = company.pattern(main)
        if other not in seen:
            marks = marks.both(other.marks)
        seen[other] = seen.get(other, 0) + 1
        odd[row] = other.row(data, after)
        parts.append(blank)
        at = after + other.size
        row += 1
        if row == count:
            after = at
            break
    most = max(seen, key=seen.__getitem__)
    return Mixed(main, b"".join(parts), odd, marks, most if 2 * seen[most] > count else main, after)


def _whole(number: Any) -> Any:
    return str(number) if type(number) is int and number > INT64_MAX else number


def _cell(octets: bytes, tag: int, size: int) -> Cell:
    if tag in _EMPTY:
        return None
    if tag == axdr.BIT_STRING:
        return axdr.BitString(octets, size)
    if tag in _TEXTS:
        try:
            return octets.decode()
        except UnicodeDecodeError:
            return octets
    return octets


def _learn(data: Octets, at: int, columns: int) -> Layout | None:
    """The layout of the row at `at`, None where it has none; the row is there to its end."""
    end = len(data)
    if at >= end:
        raise DecodeError("dlms-truncated", f"the buffer ends at {end}, before its next row: the telegram is cut short")
    if data[at] != axdr.STRUCTURE:
        return None
    found, after = axdr.read_length(data, at + 1)
    if found != columns:
        raise other_columns(found, columns)
    if after - at != 2:
        return None
    start = at
    at = after
    key: list[tuple[int, int]] = []
    for _ in range(columns):
        if at >= end:
            return None
        tag = data[at]
        size = _SIZES.get(tag)
        if size is None:
            if tag not in _SIZED or at + 1 >= end or data[at + 1] > 0x7F:
                return None
            size = data[at + 1]
            at += 2 + ((size + 7) // 8 if tag == axdr.BIT_STRING else size)
        else:
            at += 1 + size
        key.append((tag, size))
    layout = _layout(tuple(key))
    return layout if start + layout.size <= end else None


def other_columns(found: int, expected: int) -> DecodeError:
    """The error for a row that the profile's capture objects do not describe."""
    return DecodeError(
        "profile-shape",
        f"a row has {found} columns, the profile's shape {expected}: the meter's capture objects have changed, "
        "discover the shape again",
    )


@lru_cache(maxsize=512)
def _layout(key: tuple[tuple[int, int], ...]) -> Layout:
    """The layout of columns with these tags and sizes."""
    head = bytes((axdr.STRUCTURE, len(key)))
    fixed = bytearray(b"\xff\xff")
    pattern = re.escape(head)
    cells = ">2x"
    offsets: list[int] = []
    bands: list[Band] = []
    others: list[int] = []
    for i, (tag, size) in enumerate(key):
        mark = bytes((tag,)) if tag in _SIZES else bytes((tag, size))
        width = (size + 7) // 8 if tag == axdr.BIT_STRING else size
        fixed += b"\xff" * len(mark)
        pattern += re.escape(mark) + (b"." * width if width <= _DOTS else b".{%d}" % width)
        offsets.append(len(fixed))
        if (kind := _NUMBERS.get(tag)) is None:
            others.append(i)
            cells += f"{len(mark)}x{width}s"
        else:
            _widen(bands, i, tag, np.dtype(kind), len(fixed))
            cells += f"x{_STRUCT[kind]}"
        fixed += bytes(width)
    special = tuple((i, tag, size) for i, (tag, size) in enumerate(key) if tag not in _WHOLE | _FLOATS | _OCTETS)
    empty = sum(1 << i for i, (tag, _) in enumerate(key) if tag in _EMPTY)
    marks = Marks(
        empty + sum(1 << i for i, (tag, _) in enumerate(key) if tag in _WHOLE or tag == axdr.BOOLEAN),
        empty + sum(1 << i for i, (tag, size) in enumerate(key) if tag in _OCTETS and size == DATE_TIME),
        empty,
    )
    return Layout(
        key, len(fixed), tuple(offsets), tuple(bands), tuple(others), bytes(fixed), pattern, struct.Struct(cells),
        special, marks,
    )  # fmt: skip


def _widen(bands: list[Band], column: int, tag: int, kind: np.dtype[Any], offset: int) -> None:
    """Add a column of numbers to the band on its left, or begin another."""
    left = bands[-1] if bands else None
    if left is not None and left.tag == tag and left.first + left.columns == column:
        bands[-1] = Band(left.first, left.columns + 1, tag, kind, left.offset, left.stride)
    else:
        bands.append(Band(column, 1, tag, kind, offset, 1 + kind.itemsize))
