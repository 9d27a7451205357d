"""What holds for every file: short enough for one idea, and no check switched off without a reason beside it."""

from __future__ import annotations

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
