"""Rows of a profile buffer as numpy records: the layout of a row is learnt once and the rows like it are read at one stroke.

A meter writes row after row with the same tags and sizes. The first row says where each column's octets lie; then every
row must match its tags, its lengths and its head octet for octet before anything is taken from it. Rows that differ
(null-data, a value that needs a wider type) have a layout of their own. What no fixed layout describes (nested columns,
compact arrays, more layouts than `_MAX_LAYOUTS`) is left to the plain decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.axdr import Octets
from connectors.protocols.dlms.errors import DecodeError

_NUMBERS = {
    axdr.BOOLEAN: "u1", axdr.INT32: ">i4", axdr.UINT32: ">u4", 7: ">f4", axdr.BCD: "i1", axdr.INT8: "i1", axdr.INT16: ">i2",
    axdr.UINT8: "u1", axdr.UINT16: ">u2", axdr.INT64: ">i8", axdr.UINT64: ">u8", axdr.ENUM: "u1", axdr.FLOAT32: ">f4",
    axdr.FLOAT64: ">f8",
}  # fmt: skip
_SIZES = {
    axdr.NULL: 0,
    axdr.DONT_CARE: 0,
    **{tag: np.dtype(kind).itemsize for tag, kind in _NUMBERS.items()},
    axdr.DATE_TIME: 12,
    axdr.DATE: 5,
    axdr.TIME: 4,
}
_MAX_LAYOUTS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """One way in which a row lies in the buffer. Columns without octets (null-data) have no field in `record`."""

    columns: tuple[tuple[int, int], ...]
    """Tag and size of each: bits of a bit-string, octets of the rest."""
    size: int
    record: np.dtype[np.void]
    fixed: NDArray[np.uint8]
    """0xFF where an octet is head, tag or length, 0 where it is a value."""
    mask: int
    want: int
    """The same as one number, and what a row must have there."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The rows of one layout: `records[i]` is row `rows[i]` of the buffer, or row i where `rows` is None (all of them)."""

    layout: Layout
    records: NDArray[np.void]
    rows: NDArray[np.int64] | None


def read_groups(data: bytes, at: int, count: int, columns: int) -> tuple[list[Group], int] | None:
    """The `count` rows (at least one) that start at `at`, by layout, and the index after them.

    None where the plain decoder must read them. DecodeError where a row has another number of columns, or ends early.
    """
    first = _learn(data, at, columns)
    if first is None:
        return None
    end = at + count * first.size
    if end <= len(data):
        octets = np.frombuffer(data, np.uint8, count * first.size, at).reshape(count, first.size)
        if not ((octets ^ octets[0]) & first.fixed).any():
            return [Group(first, np.frombuffer(data, first.record, count, at), None)], end
    return _mixed(data, at, count, columns, first)


def _mixed(data: bytes, at: int, count: int, columns: int, first: Layout) -> tuple[list[Group], int] | None:
    """Row by row, trying the layouts met so far, the last one that matched first."""
    layouts = [first]
    starts: dict[Layout, tuple[list[int], list[int]]] = {first: ([], [])}
    for row in range(count):
        for layout in layouts:
            if int.from_bytes(data[at : at + layout.size], "big") & layout.mask == layout.want and at + layout.size <= len(
                data
            ):
                break
        else:
            learnt = _learn(data, at, columns)
            if learnt is None or len(layouts) == _MAX_LAYOUTS:
                return None
            layout = learnt
            layouts.append(layout)
            starts[layout] = ([], [])
        rows, offsets = starts[layout]
        rows.append(row)
        offsets.append(at)
        at += layout.size
    octets = np.frombuffer(data, np.uint8)
    groups = []
    for layout, (rows, offsets) in starts.items():
        gathered = octets[np.array(offsets, np.int64)[:, None] + np.arange(layout.size)]
        groups.append(Group(layout, gathered.view(layout.record).reshape(len(rows)), np.array(rows, np.int64)))
    return groups, at


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
            if (
                tag not in (axdr.OCTET_STRING, axdr.VISIBLE_STRING, axdr.UTF8_STRING, axdr.BIT_STRING)
                or at + 1 >= end
                or data[at + 1] > 0x7F
            ):
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


@lru_cache(maxsize=1024)
def _layout(key: tuple[tuple[int, int], ...]) -> Layout:
    """The layout of columns with these tags and sizes."""
    head = bytearray((axdr.STRUCTURE, len(key)))
    fixed = bytearray(b"\xff\xff")
    names: list[str] = []
    formats: list[str | tuple[str, tuple[int]]] = []
    offsets: list[int] = []
    for i, (tag, size) in enumerate(key):
        mark = bytes((tag,)) if tag in _SIZES else bytes((tag, size))
        head += mark
        fixed += b"\xff" * len(mark)
        octets = (size + 7) // 8 if tag == axdr.BIT_STRING else size
        if octets:
            names.append(f"c{i}")
            formats.append(_NUMBERS.get(tag) or ("u1", (octets,)))
            offsets.append(len(head))
        head += bytes(octets)
        fixed += bytes(octets)
    record = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": len(head)})
    mask = int.from_bytes(fixed, "big")
    return Layout(key, len(head), record, np.frombuffer(bytes(fixed), np.uint8), mask, int.from_bytes(head, "big"))
