"""No callback of a consumer calls what makes confluent_kafka abort the process at its next callback (see `new_consumer`)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
GIVEN = {"on_assign", "on_revoke", "on_lost", "on_commit", "stats_cb", "error_cb"}
NEVER = {"list_topics", "poll", "consume"}


def callbacks(tree: ast.AST) -> Iterator[str]:
    """Names of what is handed to a consumer to be called, by keyword or in a mapping of its settings."""
    for node in ast.walk(tree):
        pairs: list[tuple[object, ast.expr]] = []
        if isinstance(node, ast.Call):
            pairs = [(keyword.arg, keyword.value) for keyword in node.keywords]
        elif isinstance(node, ast.Dict):
            items = zip(node.keys, node.values, strict=True)
            pairs = [(key.value, value) for key, value in items if isinstance(key, ast.Constant)]
        yield from (name(value) for given, value in pairs if given in GIVEN)


def name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def reached(source: str) -> set[str]:
    """Whatever callbacks of a module call, themselves or by functions of the same module."""
    tree = ast.parse(source)
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    seen: set[str] = set()
    ahead = set(callbacks(tree))
    while ahead:
        seen |= ahead
        nodes = [node for each in ahead if each in functions for node in ast.walk(functions[each])]
        ahead = {name(node.func) for node in nodes if isinstance(node, ast.Call)} - seen
    return seen


def test_no_callback_makes_its_consumer_forget_the_call_that_it_is_within() -> None:
    found = {path: reached(path.read_text()) for room in ("streams", "connectors") for path in (ROOT / room).rglob("*.py")}
    assert sum("hear_again" in each for each in found.values()) >= 3
    assert {str(path): each & NEVER for path, each in found.items() if each & NEVER} == {}


@pytest.mark.parametrize("given", ["subscribe([], on_assign=self._here)", "client({'on_commit': self._here})"])
def test_it_is_seen_through_functions_of_the_module(given: str) -> None:
    source = f"{given}\ndef _here(self, consumer): self._count(consumer)\ndef _count(self, consumer): consumer.list_topics()"
    assert reached(source) == {"_here", "_count", "list_topics"}
