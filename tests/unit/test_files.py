"""What holds for every file: short enough for one idea, no check switched off without a reason beside it, and no
`__post_init__` that is never called.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for room in ("schemas", "streams", "connectors", "tests") for path in (ROOT / room).rglob("*.py"))
SWITCHED_OFF = re.compile(r"# (?:noqa|type: ignore)")
WITH_REASON = re.compile(r"# (?:noqa: [A-Z0-9, ]+ - \S|type: ignore\[[a-z, -]+\]  # \S)")


@pytest.fixture(scope="module")
def lines() -> dict[str, list[str]]:
    return {str(path.relative_to(ROOT)): path.read_text().splitlines() for path in FILES}


def test_no_file_is_longer_than_one_idea(lines: dict[str, list[str]]) -> None:
    assert len(lines) > 500
    assert {name: len(found) for name, found in lines.items() if len(found) > 400} == {}


def test_each_check_that_is_switched_off_says_why(lines: dict[str, list[str]]) -> None:
    here = str(Path(__file__).relative_to(ROOT))
    bare = [
        f"{name}:{number}"
        for name, found in lines.items()
        for number, line in enumerate(found, 1)
        if name != here and SWITCHED_OFF.search(line) and not WITH_REASON.search(line)
    ]
    assert bare == []


def test_each_post_init_is_called(lines: dict[str, list[str]]) -> None:
    """By the class's own dataclass decorator: an `__init__` that is inherited calls none that came later."""
    texts = {name: "\n".join(found) for name, found in lines.items()}
    trees = {name: ast.parse(text) for name, text in texts.items() if "__post_init__" in text}
    nodes = [(name, node) for name, tree in trees.items() for node in ast.walk(tree)]
    named = [(name, node) for name, node in nodes if isinstance(node, ast.ClassDef) and _has_post_init(node)]
    assert len(named) > 10
    bare = [
        f"{name}:{node.lineno} {node.name}"
        for name, node in named
        if not any("dataclass" in ast.unparse(each) or "value_class" in ast.unparse(each) for each in node.decorator_list)
    ]
    assert bare == []


def _has_post_init(node: ast.ClassDef) -> bool:
    return any(isinstance(each, ast.FunctionDef) and each.name == "__post_init__" for each in node.body)
