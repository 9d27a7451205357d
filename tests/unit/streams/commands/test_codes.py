"""Every code is on the page of errors, as the code explains it."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.commands.codes import CODES as COMMANDS
from streams.runtime.authority.refusals import CODES as AUTHORITY

PAGE = Path(__file__).parents[4] / "docs" / "errors.md"


@pytest.mark.parametrize("codes", [AUTHORITY, COMMANDS], ids=["authority", "commands"])
def test_every_code_is_explained(codes: dict[str, str]) -> None:
    page = PAGE.read_text()
    assert [code for code, meaning in codes.items() if f"| `{code}` | {meaning} |" not in page] == []
