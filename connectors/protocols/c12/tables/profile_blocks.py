"""Load profile data sets as arrays: the blocks of tables 64 to 67, taken apart all at once (C12.19, decade 6).

The generic reader gives the same fields one by one, in a thousand times the time; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.context import Formats
from connectors.protocols.c12.tables.numerals import FLOATS, NI_SIZES, WHOLE, IntFormat, NiFormat, Number, Order, read_ni
from connectors.protocols.c12.tables.profile_layout import BlockLayout
from connectors.protocols.c12.tables.times import TableTime, TimeKind, read_time

Octets: TypeAlias = NDArray[np.uint8]
Integers: TypeAlias = NDArray[np.int64]
Numbers: TypeAlias = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Blocks as arrays; the first axis is the block, in the order of the octets."""

    layout: BlockLayout
    raw: NDArray[np.void]

    @classmethod
    def of(cls, layout: BlockLayout, data: bytes) -> Blocks:
        """From the octets of whole blocks. Raises DecodeError "table-size" where they are no whole number of blocks."""
        count, rest = divmod(len(data), layout.block_size)
        if rest or count > layout.blocks:
            detail = (
                f"{len(data)} octets are no whole number of blocks of {layout.block_size} octets, at most {layout.blocks}: "
                "it was read in part, or tables 61 and 62 are out of date"
            )
            raise DecodeError("table-size", detail)
        return cls(layout, np.frombuffer(data, layout.dtype, count))

    def end(self, block: int) -> TableTime:
        """BLK_END_TIME."""
        formats = self.layout.formats
        return read_time(self.raw["end"][block].tobytes(), TimeKind.STIME, formats.time, formats.order)

    def closed_after(self, block: int) -> int | None:
        """Valid intervals by the closure status; None where there is none, or it says nothing that can be."""
        if not self.layout.closure:
            return None
        counts = self.raw["closure"][block] >> 4
        most = int(counts.max())
        return most if 0 < most <= self.layout.intervals else None

    def valid(self, block: int) -> NDArray[np.bool_] | None:
        """SIMPLE_INT_STATUS, one bit an interval; None where there is none."""
        if not self.layout.simple:
            return None
        bits = np.unpackbits(self.raw["simple"][block], bitorder="little")[: self.layout.intervals]
        return bits.astype(np.bool_)

    def statuses(self, block: int) -> Octets | None:
        """EXTENDED_INT_STATUS as nibbles, intervals by 1 + channels: the common one, then each channel's."""
        if not self.layout.extended:
            return None
        octets = self.raw["intervals"]["status"][block]
        nibbles = np.stack((octets >> 4, octets & 0xF), axis=-1).reshape(len(octets), -1)
        return nibbles[:, : self.layout.channels + 1]

    def values(self, block: int) -> Octets:
        """INT_DATA, intervals by channels by octets."""
        found: Octets = self.raw["intervals"]["data"][block]
        return found

    def readings(self, block: int) -> tuple[tuple[Number | None, int | None], ...]:
        """END_READINGS of each channel: the reading and the pulses, None where there are none."""
        layout, formats = self.layout, self.layout.formats
        if not layout.reading_size:
            return ()
        found = []
        for octets in (row.tobytes() for row in self.raw["readings"][block]):
            split = NI_SIZES[formats.ni1] * layout.end_reads
            read = read_ni(octets[:split], formats.ni1, formats.order, formats.integer) if layout.end_reads else None
            found.append((read, int.from_bytes(octets[split:], formats.order) if layout.end_pulses else None))
        return tuple(found)


def numbers(octets: Octets, code: int, formats: Formats) -> tuple[Numbers, int]:
    """Values of INT_FMT_CDE `code`, the last axis their octets, as numbers of one axis less and a power of ten.

    Raises DecodeError "table-value" where a text or BCD value is none.
    """
    ni = {64: formats.ni1, 128: formats.ni2}.get(code)
    if ni is None:
        return _integers(octets, formats.order, None if code < 8 else formats.integer), 0
    if ni in WHOLE:
        return _integers(octets, formats.order, formats.integer), 0
    if ni is NiFormat.INT32_FIXED4:
        return _integers(octets, formats.order, formats.integer), -4
    if ni in FLOATS:
        mark = ("<" if formats.order == "little" else ">") + ("f8" if ni is NiFormat.FLOAT64 else "f4")
        return np.ascontiguousarray(octets).view(mark)[..., 0].astype(np.float64), 0
    return _decimals(octets, ni, formats)


def _integers(octets: Octets, order: Order, form: IntFormat | None) -> Integers:
    """Whole numbers of 1 to 8 octets; `form` None has no sign."""
    width = octets.shape[-1]
    wide = np.zeros((*octets.shape[:-1], 8), np.uint8)
    wide[..., :width] = octets if order == "little" else octets[..., ::-1]
    raw: Integers = wide.view("<i8")[..., 0]
    if form is None:
        return raw
    shift = 64 - 8 * width
    if form is IntFormat.TWOS_COMPLEMENT:
        extended: Integers = (raw << shift) >> shift
        return extended
    negative = (raw >> 8 * width - 1) & 1 != 0
    magnitude = np.int64((1 << 8 * width - 1) - 1)
    minus = -(~raw & magnitude) if form is IntFormat.ONES_COMPLEMENT else -(raw & magnitude)
    signed: Integers = np.where(negative, minus, raw)
    return signed


def _decimals(octets: Octets, ni: NiFormat, formats: Formats) -> tuple[Numbers, int]:
    shape, width = octets.shape[:-1], octets.shape[-1]
    data = octets.tobytes()
    read = [read_ni(data[at : at + width], ni, formats.order, formats.integer) for at in range(0, len(data), width)]
    found = [Decimal(0) if value is None else Decimal(value) for value in read]
    places = min((int(value.as_tuple().exponent) for value in found), default=0)
    whole = [int(value.scaleb(-places)) for value in found]
    if all(abs(value) < 1 << 62 for value in whole):
        return np.array(whole, np.int64).reshape(shape), places
    return np.array([float(value) for value in found]).reshape(shape), 0
