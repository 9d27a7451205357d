"""Sizes and conditions: what they give, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.context import Context, Formats
from connectors.protocols.c12.tables.expressions import compiled, evaluate
from connectors.protocols.c12.tables.values import Record

KNOWN = {"ACT_TBL": Record({"FLAGS": Record({"ON_FLAG": True, "OFF_FLAG": False}), "COUNT": 7, "SET": frozenset((3, 64))})}


def context() -> Context:
    return Context(Formats(), KNOWN, [{"OUTER": 2}, {"INNER": Record({"BIT": 5})}])


CASES: list[tuple[str, Any]] = [
    ("3", 3),
    ("ACT_TBL.COUNT", 7),
    ("(ACT_TBL.COUNT + 7) / 8", 1),
    ("ACT_TBL.COUNT / 2 + 1", 4),
    ("ACT_TBL.COUNT % 4 * 2", 6),
    ("ACT_TBL.ON_FLAG", 1),
    ("ACT_TBL.ON_FLAG and ACT_TBL.OFF_FLAG", 0),
    ("not ACT_TBL.OFF_FLAG", 1),
    ("OUTER + BIT", 7),
    ("64 in ACT_TBL.SET", 1),
    ("4 not in ACT_TBL.SET or OUTER == 3", 1),
    ("ACT_TBL.COUNT >= 7 and ACT_TBL.COUNT != 8", 1),
]


@pytest.mark.parametrize(("text", "value"), CASES)
def test_values(text: str, value: int) -> None:
    assert evaluate(text, context()) == value


@pytest.mark.parametrize(
    "text",
    ["", "1 +", "f(1)", "__import__('os')", "[1]", "a.b.c", "'x'", "1.5", "x if y else z", "1 < 2 < 3", "2 ** 9", "1 << 9",
     "lambda: 1", "x[0]", "-1", "9" * 400, "(" * 150 + "1" + ")" * 150],
)  # fmt: skip
def test_what_is_not_in_the_language(text: str) -> None:
    with pytest.raises(DecodeError) as error:
        evaluate(text, context())
    assert error.value.code == "table-declaration"


@pytest.mark.parametrize("text", ["1 - 2", "1 / 0", "ACT_TBL.SET", "1 in ACT_TBL.COUNT", "4294967296"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(DecodeError) as error:
        evaluate(text, context())
    assert error.value.code == "table-declaration"


@pytest.mark.parametrize("text", ["NOWHERE", "ACT_TBL.NOWHERE", "OTHER_TBL.COUNT"])
def test_what_is_not_known(text: str) -> None:
    with pytest.raises(DecodeError) as error:
        evaluate(text, context())
    assert error.value.code == "table-prerequisite"


def test_compiled_once() -> None:
    assert compiled("1 + 1") is compiled("1 + 1")
