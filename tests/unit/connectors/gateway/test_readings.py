from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from connectors.gateway.readings import (
    MAX_CELLS,
    Moment,
    Origin,
    Rows,
    channel,
    interval_readings,
    register,
    register_readings,
)
from schemas.longs import Longs
from schemas.records import Cause, Channel, Register
from tests.unit.streams.fakes import CODEC

ORIGIN = Origin("m1", "7/1.0.99.1.0.255/2", 99, Cause.SCHEDULED, "j1")
ENERGY = channel("1.0.1.8.0.255", 2, "Wh", 0, [1, 2, 3])
QUARTER = 900_000
ROWS = Rows([0, QUARTER, 2 * QUARTER], 900, (ENERGY,))


@pytest.mark.parametrize(
    ("values", "column", "holds"),
    [
        pytest.param([1, 2], "longs", (1, 2), id="integers"),
        pytest.param([1, None], "nullable_longs", (1, None), id="missing"),
        pytest.param([None, None], "nullable_longs", (None, None), id="all-missing"),
        pytest.param([1, 2.5], "doubles", (1.0, 2.5), id="mixed-numbers"),
        pytest.param(["a", None, 3], "texts", ("a", "", "3"), id="texts"),
        pytest.param([1 << 63, 1], "texts", ("9223372036854775808", "1"), id="beyond-64-bits"),
        pytest.param([True, False], "longs", (1, 0), id="booleans"),
    ],
)
def test_a_column_has_the_one_type_that_fits(values: list[Any], column: str, holds: tuple[Any, ...]) -> None:
    made = channel("1.0.1.8.0.255", 2, "Wh", 0, values)
    filled = {name: getattr(made, name) for name in ("longs", "nullable_longs", "doubles", "texts") if getattr(made, name)}
    assert filled == {column: holds}


def test_a_missing_float_is_not_a_number() -> None:
    assert math.isnan(channel("x", 2, "", None, [1.0, None]).doubles[1])


def test_a_register_beyond_64_bits_keeps_its_digits() -> None:
    assert register("x", 2, "", None, (1 << 64) - 1).value == "18446744073709551615"
    assert register("x", 2, "", None, -5).value == -5


def test_regular_rows_need_no_column_of_times() -> None:
    (made,) = interval_readings(ORIGIN, ROWS)
    assert (made.first_end, made.period_s, made.rows, made.ends) == (0, 900, 3, ())
    assert CODEC.decode(CODEC.encode(made)) == made


def test_irregular_rows_carry_their_times() -> None:
    (made,) = interval_readings(ORIGIN, replace(ROWS, ends=[0, QUARTER, 3 * QUARTER]))
    assert made.ends == (0, QUARTER, 3 * QUARTER)


def test_no_rows_are_no_record() -> None:
    assert interval_readings(ORIGIN, Rows([], 900, ())) == ()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param([], (), id="none"),
        pytest.param([-0x8000] * 3, (), id="not-given"),
        pytest.param([-60] * 3, (-60,), id="one-for-all"),
        pytest.param([-60, -120, -120], (-60, -120, -120), id="one-a-row"),
    ],
)
def test_deviations_are_kept_as_short_as_they_can_be(given: list[int], kept: tuple[int, ...]) -> None:
    assert interval_readings(ORIGIN, replace(ROWS, deviations=given))[0].deviations == kept


OTHERS = [
    pytest.param(ORIGIN, replace(ROWS, channels=(channel("1.0.1.8.0.255", 2, "Wh", 0, [1, 2, 4]),)), id="value"),
    pytest.param(ORIGIN, replace(ROWS, channels=(channel("1.0.1.8.0.255", 2, "Wh", 3, [1, 2, 3]),)), id="scaler"),
    pytest.param(ORIGIN, replace(ROWS, channels=(channel("1.0.2.8.0.255", 2, "Wh", 0, [1, 2, 3]),)), id="object"),
    pytest.param(ORIGIN, replace(ROWS, channels=(channel("1.0.1.8.0.255", 2, "Wh", 0, [1.0, 2.0, 3.0]),)), id="type"),
    pytest.param(ORIGIN, replace(ROWS, ends=[1, QUARTER + 1, 2 * QUARTER + 1]), id="time"),
    pytest.param(ORIGIN, replace(ROWS, statuses=[0, 0, 1]), id="status"),
    pytest.param(replace(ORIGIN, meter_id="m2"), ROWS, id="meter"),
    pytest.param(replace(ORIGIN, source="7/1.0.99.2.0.255/2"), ROWS, id="source"),
]


@pytest.mark.parametrize(("origin", "rows"), OTHERS)
def test_another_statement_has_another_id(origin: Origin, rows: Rows) -> None:
    assert interval_readings(origin, rows)[0].id != interval_readings(ORIGIN, ROWS)[0].id


def test_when_why_and_by_which_job_it_was_read_makes_no_other_statement() -> None:
    later = Origin("m1", ORIGIN.source, 12345, Cause.BACKFILL, "j2")
    assert interval_readings(later, ROWS)[0].id == interval_readings(ORIGIN, ROWS)[0].id


MARKED = replace(ROWS, deviations=[-60, -60, -120], clock_statuses=[0, 0, 0x80], statuses=[1, 1, 1])
GAP = channel("1.0.1.8.0.255", 2, "Wh", 0, [1, None, 3])


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(MARKED, id="whole"),
        pytest.param(replace(MARKED, ends=[0, 1, QUARTER]), id="irregular"),
        pytest.param(replace(MARKED, channels=(GAP,)), id="with-a-gap"),
        pytest.param(replace(MARKED, channels=(replace(GAP, nullable_longs=(None,) * 3),)), id="gaps-only"),
    ],
)
def test_columns_of_octets_state_what_tuples_state(rows: Rows) -> None:
    packed = Rows(
        Longs.of(rows.ends), rows.period_s,
        tuple(
            replace(
                item, longs=Longs.of(item.longs).column, nullable_longs=Longs.of(item.nullable_longs).column,
            )
            for item in rows.channels
        ),
        Longs.of(rows.deviations), Longs.of(rows.clock_statuses), Longs.of(rows.statuses),
    )  # fmt: skip
    assert interval_readings(ORIGIN, packed) == interval_readings(ORIGIN, rows)


def test_ids_of_whole_columns_stay() -> None:
    # Written down once: topics and tables hold ids like these.
    assert interval_readings(ORIGIN, MARKED)[0].id == "843d6e3254d03996591c7343ab29a0d0"
    assert interval_readings(ORIGIN, replace(MARKED, ends=[0, 1, QUARTER]))[0].id == "3764d9e8f047278279f160e41a5aa04b"


def test_a_gap_is_no_zero_and_no_other_gap() -> None:
    values: list[list[int | None]] = [[1, None, 3], [1, 0, 3], [None, 0, 3], [0, None, 3], [None, None, None], [0, 0, 0]]
    channels = [channel("1.0.1.8.0.255", 2, "Wh", 0, some) for some in values]
    assert len({interval_readings(ORIGIN, replace(ROWS, channels=(item,)))[0].id for item in channels}) == len(values)


def test_very_many_rows_become_several_records_that_say_the_same() -> None:
    rows = MAX_CELLS // 2 + 10
    columns = tuple(Channel(f"1.0.{n}.8.0.255", longs=tuple(range(rows))) for n in (1, 2))
    made = interval_readings(ORIGIN, Rows([n * QUARTER for n in range(rows)], 900, columns, statuses=list(range(rows))))
    assert [part.rows for part in made] == [MAX_CELLS // 2, 10]
    assert made[1].first_end == MAX_CELLS // 2 * QUARTER
    assert sum((part.channels[1].longs for part in made), ()) == tuple(range(rows))
    assert sum((tuple(part.statuses) for part in made), ()) == tuple(range(rows))
    assert len({part.id for part in made}) == 2


def test_registers_are_told_apart_by_when_and_what_they_state() -> None:
    registers = (Register("1.0.1.8.0.255", 2, "Wh", 0, 5),)
    made = [
        register_readings(ORIGIN, moment, content).id
        for moment, content in (
            (Moment(1, given=True, stated=("time", 1)), registers),
            (Moment(2, given=True, stated=("time", 2)), registers),
            (Moment(1, given=False, stated=("counter", 1)), registers),
            (Moment(1, given=True, stated=("time", 1)), (replace(registers[0], value=5.0),)),
        )
    ]
    assert len(set(made)) == 4
    again = register_readings(
        replace(ORIGIN, read_at=5, job_id="other"), Moment(1, given=True, stated=("time", 1)), registers
    )
    assert again.id == made[0]
