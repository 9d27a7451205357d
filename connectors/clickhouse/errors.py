"""What ClickHouse may answer, sorted by what helps: try again, mend the table or the account, or give up on these rows."""

from __future__ import annotations

from streams.runtime.errors import FatalError, TemporaryError

CODES = {
    "readings-names": "an OBIS code, meter id or unit that is empty or too long for a column",
    "readings-columns": "channels whose columns are not as long as the rows, or more than one filled column in a channel",
    "readings-range": "a number that its column cannot hold: a value beyond 64 bit, a time before 1970 or after 2106",
    "readings-time": "an interval that does not end on a whole second",
    "clickhouse-refused": "ClickHouse refuses these very rows; the detail has its own words",
}
"""Codes of the sink's dead letters, beside the codec's."""


class RefusedError(Exception):
    """ClickHouse refuses these very rows, or this very statement; trying again cannot help."""


class TableError(FatalError):
    """A table is not as the migrations leave it. `said` is what ClickHouse says, for a statement that a person wrote."""

    def __init__(self, what: str, said: str = "") -> None:
        super().__init__(what)
        self.said = said or what


# Numbers are ClickHouse's ErrorCodes.cpp.
_TEMPORARY = {
    3,  # unexpected end of file
    74, 75, 76, 77, 79, 87,  # its disk
    159,  # timeout exceeded
    173,  # cannot allocate memory
    201, 202, 203,  # quota, too many simultaneous queries, no free connection
    209, 210,  # socket timeout, network
    225, 242, 244, 254, 285, 286, 289, 319, 999,  # keeper and replicas
    236, 394, 734,  # aborted, cancelled
    241, 243, 252,  # memory limit, no space left, too many parts
    279,  # all connection tries failed
    439, 473, 474,  # cannot schedule a task, deadlock avoided
}  # fmt: skip
_TABLE = {8, 10, 15, 16, 20, 36, 44, 47, 48, 50, 53, 60, 70, 80, 81, 122, 171, 352}
_ACCOUNT = {164, 192, 193, 194, 195, 291, 497, 516}
_TOO_MANY_PARTITIONS = "single INSERT block"  # shares code 252 with "too many parts", and is no passing state

MESSAGE_LENGTH = 500


def translated(code: int, text: str, doing: str) -> Exception:
    """The exception for an answer of ClickHouse: `TemporaryError`, `TableError`, `FatalError` or `RefusedError`.

    `doing` begins the sentence and names the table, such as "inserting into hes.intervals".
    """
    said = f"ClickHouse says {code}: {' '.join(text.split())[:MESSAGE_LENGTH]}"
    if code in _TEMPORARY and _TOO_MANY_PARTITIONS not in text:
        return TemporaryError(f"{doing}: {said}")
    if code in _TABLE:
        return TableError(
            f"{doing}: {said}. The table is not as the migrations leave it: compare SHOW CREATE TABLE with "
            "connectors/clickhouse/tables/*.sql and undo what was altered by hand",
            f"{doing}: {said}",
        )
    if code in _ACCOUNT:
        return FatalError(f"{doing}: {said}. Look at the user in clickhouse.url and at what it may do")
    return RefusedError(f"{doing}: {said}")
