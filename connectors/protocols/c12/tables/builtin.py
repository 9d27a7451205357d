"""The built-in types by the names that the standard gives them."""

from __future__ import annotations

import re
from collections.abc import Callable

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.expressions import compiled
from connectors.protocols.c12.tables.layouts import Type, bits
from connectors.protocols.c12.tables.times import TimeKind
from connectors.protocols.c12.tables.types import (
    Count,
    ScalarType,
    bcd,
    binary,
    floating,
    integer,
    non_integer,
    set_of,
    text,
    time,
    uint,
)

U8, U16, U24, U32 = uint(1), uint(2), uint(3), uint(4)
I16 = integer(2)
NI1, NI2 = non_integer(1), non_integer(2)
LTIME, STIME, TIME, DATE = time(TimeKind.LTIME), time(TimeKind.STIME), time(TimeKind.TIME), time(TimeKind.DATE)

RDATE = bits(16, "MONTH 0..3", "OFFSET 4..7", "WEEKDAY 8..10", "DAY 11..15")
"""A date that recurs. With MONTH 15 the bits above are PERIOD (4 to 9) and DELTA (10 to 15)."""

TABLE_IDA = bits(16, "TBL_NBR 0..10", "MFG_FLAG 11", "PENDING_FLAG 12", "FLAG1 13", "FLAG2 14", "FLAG3 15")
TABLE_IDB = bits(16, "TBL_PROC_NBR 0..10", "MFG_FLAG 11", "SELECTOR 12..15")

LIST_STATUS = bits(8, "ORDER 0..0", "OVERFLOW_FLAG 1", "LIST_TYPE 2..2", "INHIBIT_OVERFLOW_FLAG 3")

_FIXED: dict[str, Type] = {
    **{f"UINT{8 * size}": uint(size) for size in range(1, 9)},
    **{f"INT{8 * size}": integer(size) for size in range(1, 9)},
    "FLOAT32": floating(4), "FLOAT64": floating(8), "BCD": bcd(1), "NI_FMAT1": NI1, "NI_FMAT2": NI2,
    "LTIME_DATE": LTIME, "STIME_DATE": STIME, "TIME": TIME, "DATE": DATE, "RDATE": RDATE,
    "TABLE_IDA_BFLD": TABLE_IDA, "TABLE_IDB_BFLD": TABLE_IDB, "LIST_STATUS_BFLD": LIST_STATUS,
}  # fmt: skip

_SIZED: dict[str, Callable[[Count], ScalarType]] = {"STRING": text, "BINARY": binary, "SET": set_of, "BCD": bcd}


def named_type(name: str) -> Type:
    """A built-in type by name: "UINT16", "STRING(20)", "SET((NBR + 7) / 8)". DecodeError "table-declaration" where none."""
    if name in _FIXED:
        return _FIXED[name]
    match = re.fullmatch(r"(STRING|BINARY|SET|BCD)\((.+)\)", name)
    if match is None:
        names = ", ".join([*_FIXED, *(f"{sized}(n)" for sized in _SIZED)])
        raise DecodeError("table-declaration", f"{name[:60]!r} is no type: {names}")
    return _SIZED[match[1]](count(match[2]))


def count(given: str | int) -> Count:
    """A number or an expression, checked."""
    if isinstance(given, int) or given.strip().isdigit():
        return int(given)
    compiled(given)
    return given
