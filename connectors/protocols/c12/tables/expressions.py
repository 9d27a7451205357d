"""Array sizes and conditions as the standard writes them: "(ACT_LP_TBL.NBR_CHNS_SET1 / 2) + 1".

The language: whole numbers, fields of the record being read ("NBR_PENDING") or of a table read before ("TABLE.FIELD"),
+ - * / (without remainder) and %, comparisons, `in` for sets, and, or, not. It cannot loop, call or grow: a manufacturer's
declaration may come from a file.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

from connectors.protocols.c12.errors import DecodeError

MAX_LENGTH = 300
MAX_RESULT = 1 << 32

Evaluate = Callable[["Scope"], Any]


class Scope(Protocol):
    """Where names are looked up."""

    def lookup(self, table: str | None, field: str) -> Any:
        """A field of the record being read (None) or of a table. DecodeError "table-prerequisite" where it is not known."""
        ...


def evaluate(text: str, scope: Scope) -> int:
    """The value of an expression; flags count 1. Raises DecodeError "table-declaration" or what the scope raises."""
    value = compiled(text)(scope)
    if not isinstance(value, int) or not 0 <= value < MAX_RESULT:
        raise DecodeError(
            "table-declaration", f"{text!r} is {value!r}: a size or condition is a number that is not negative"
        )
    return int(value)


@cache
def compiled(text: str) -> Evaluate:
    """An expression ready to evaluate. Raises DecodeError "table-declaration" where it is none."""
    if len(text) > MAX_LENGTH:
        raise _refused(text[:40] + "…")
    try:
        return _compile(ast.parse(text.strip(), mode="eval").body, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _refused(text) from None


_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.floordiv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.In: lambda item, group: item in group, ast.NotIn: lambda item, group: item not in group,
}  # fmt: skip


def _compile(node: ast.expr, text: str) -> Evaluate:  # noqa: PLR0911 - one arm for each form of the language
    match node:
        case ast.Constant(value=int() as number):
            return lambda _: number
        case ast.Name(id=field):
            return lambda scope: scope.lookup(None, field)
        case ast.Attribute(value=ast.Name(id=table), attr=field):
            return lambda scope: scope.lookup(table, field)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _both(_BINARY[type(op)], _compile(left, text), _compile(right, text), text)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            return _both(_COMPARE[type(op)], _compile(left, text), _compile(right, text), text)
        case ast.BoolOp(op=ast.And(), values=values):
            terms = [_compile(value, text) for value in values]
            return lambda scope: all(term(scope) for term in terms)
        case ast.BoolOp(op=ast.Or(), values=values):
            terms = [_compile(value, text) for value in values]
            return lambda scope: any(term(scope) for term in terms)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            term = _compile(operand, text)
            return lambda scope: not term(scope)
        case _:
            raise _refused(text)


def _both(apply: Callable[[Any, Any], Any], left: Evaluate, right: Evaluate, text: str) -> Evaluate:
    def run(scope: Scope) -> Any:
        try:
            return apply(left(scope), right(scope))
        except (TypeError, ZeroDivisionError):
            raise DecodeError("table-declaration", f"{text!r} cannot be evaluated: check the declaration's fields") from None

    return run


def _refused(text: str) -> DecodeError:
    return DecodeError(
        "table-declaration", f"{text!r} is no size or condition: numbers, TABLE.FIELD, + - * /, in, and, or, not"
    )
