from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from connectors.clickhouse.columns import Column, ColumnError, Runs, block, encode, rows_of, text, varint

pytest.importorskip("clickhouse_driver", reason="clickhouse-driver is an extra; here it is the second opinion")

from clickhouse_driver.bufferedreader import BufferedReader
from clickhouse_driver.streams.native import BlockInputStream

RUNS = Runs(["m1", "", "mø" * 90], np.array([0, 2, 0, 1]), np.array([2, 1, 0, 3]))
RUN_TEXTS = ["m1", "m1", "mø" * 90, "", "", ""]
MANY = Runs([f"w{number}" for number in range(300)], np.arange(300), np.ones(300, np.int64))


class Octets(BufferedReader):  # type: ignore[misc]  # the driver has no type hints
    """The driver's reader, over what we wrote."""

    def __init__(self, data: bytes) -> None:
        super().__init__(len(data) + 1)
        self.data = data

    def read_into_buffer(self) -> None:
        if not self.data:
            raise EOFError
        self.buffer[: len(self.data)] = self.data
        self.current_buffer_size, self.data = len(self.data), b""


class Context:
    """What the driver's reader asks of a connection; revision 0 is what FORMAT Native over HTTP has."""

    class server_info:  # noqa: N801 - the driver's name
        used_revision = 0
        session_timezone = None

        @staticmethod
        def get_timezone() -> str:
            return "UTC"

    client_settings = {"use_numpy": False, "strings_as_bytes": False}  # noqa: RUF012 - read only
    settings: dict[str, Any] = {}  # noqa: RUF012 - likewise


def as_the_driver_reads(data: bytes) -> dict[str, list[Any]]:
    """Name to values, by clickhouse-driver's own decoder."""
    read = BlockInputStream(Octets(data), Context()).read()
    return {name: list(values) for (name, _), values in zip(read.columns_with_types, read.data, strict=True)}


@pytest.mark.parametrize(
    ("kind", "column", "values"),
    [
        ("Int8", np.array([-128, 127], np.int8), [-128, 127]),
        ("Int64", np.array([-(2**63), 2**63 - 1]), [-(2**63), 2**63 - 1]),
        ("UInt64", np.array([0, 2**64 - 1], np.uint64), [0, 2**64 - 1]),
        ("Int64", np.array([5], np.int16), [5]),
        ("Int64", np.array([1_700_000_000_123]).view("datetime64[ms]"), [1_700_000_000_123]),
        ("Float64", np.array([1.5, -0.0]), [1.5, -0.0]),
        ("String", RUNS, RUN_TEXTS),
        ("String", ["a", "", "ø" * 200], ["a", "", "ø" * 200]),
        ("LowCardinality(String)", RUNS, RUN_TEXTS),
        ("LowCardinality(String)", ["a", "b", "a"], ["a", "b", "a"]),
        ("LowCardinality(String)", MANY, MANY.texts()),
        ("Nullable(Int64)", np.ma.MaskedArray([1, 0, 3], [False, True, False]), [1, None, 3]),
        ("Nullable(Int8)", np.array([1, 2], np.int8), [1, 2]),
        ("Nullable(Float64)", np.ma.MaskedArray([1.5, 0.0], [False, True]), [1.5, None]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_we_write_the_driver_reads(kind: str, column: Column, values: list[Any]) -> None:
    read = as_the_driver_reads(block({"first": column, "second": column}, {"first": kind, "second": kind}))
    assert read == {"first": values, "second": values}


def test_times_are_read_as_the_instants_they_are() -> None:
    columns = {"ts": np.array([1_700_000_000], np.uint32), "at": np.array([1_700_000_000_123]).view("datetime64[ms]")}
    read = as_the_driver_reads(block(columns, {"ts": "DateTime('UTC')", "at": "DateTime64(3, 'UTC')"}))
    assert [read["ts"][0].timestamp(), read["at"][0].timestamp()] == [1_700_000_000, 1_700_000_000.123]


@pytest.mark.parametrize(
    ("kind", "column", "said"),
    [
        ("Int32", np.array([1]), "int64 does not go into Int32"),
        ("UInt64", np.array([1]), "int64 does not go into UInt64"),
        ("Int64", np.array([1.5]), "float64 does not go into Int64"),
        ("Int64", ["a"], "texts do not go into Int64"),
        ("Int64", RUNS, "texts do not go into Int64"),
        ("String", np.array([1]), "int64 does not go into String"),
        ("LowCardinality(String)", np.array([1]), "int64 does not go into String"),
        ("Int64", np.ma.MaskedArray([1], [True]), "rows without a value do not go into Int64"),
        ("DateTime64(6, 'UTC')", np.array([1]).view("datetime64[ms]"), "writes no DateTime64"),
        ("Decimal(10, 2)", np.array([1]), "writes no Decimal"),
        ("LowCardinality(Int64)", np.array([1]), "writes no LowCardinality"),
        ("Array(String)", ["a"], "writes no Array"),
    ],
)
def test_what_does_not_fit_is_said_and_not_written(kind: str, column: Column, said: str) -> None:
    with pytest.raises(ColumnError, match=said.replace("(", r"\(")):
        encode(kind, column)


def test_a_block_needs_every_column_in_the_table_and_one_length() -> None:
    with pytest.raises(ColumnError, match="there is no column b"):
        block({"b": ["x"]}, {"a": "String"})
    with pytest.raises(ColumnError, match="different lengths"):
        rows_of({"a": ["x"], "b": ["x", "y"]})


@pytest.mark.parametrize(("number", "octets"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**32, "8080808010")])
def test_varint(number: int, octets: str) -> None:
    assert varint(number).hex() == octets


def test_a_text_has_its_length_in_octets_before_it() -> None:
    assert text("ø") == b"\x02\xc3\xb8"
    assert text("x" * 200)[:2] == b"\xc8\x01"
