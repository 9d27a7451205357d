"""`hes probe` as it is typed, and what it said."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connectors.cli.commands import probe as command
from tests.unit.connectors.cli import typed


class Ran(typed.Ran):
    """How a probe ended."""

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What is on stdout, but for the words of gurux, whose meters share it here."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    def values(self) -> dict[str, Any]:
        """Facts by name."""
        return {row["what"]: row["value"] for row in self.rows if "value" in row}

    def of(self, what: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["what"] == what]

    def keeps(self, *secrets: str) -> bool:
        """Whether no secret shows, neither as text nor as hex."""
        said = (self.out + self.err).upper()
        forms = [form.upper() for s in secrets for form in (s, s.encode().hex(), s.encode().hex(" "), " ".join(_pairs(s)))]
        return not any(form in said for form in forms)


def _pairs(text: str) -> Iterator[str]:
    return (text[at : at + 2] for at in range(0, len(text), 2))


Probe = Callable[..., Ran]


@pytest.fixture
def probe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Probe:
    """Run `hes probe`."""
    hes = typed.typing(command.register, monkeypatch, capsys)

    def run(target: int | str, *arguments: str, password: str = "") -> Ran:
        for name in ("HES_EK", "HES_AK", "HES_DEBUG", "HES_PASSWORD"):
            monkeypatch.delenv(name, raising=False)
        if password:
            monkeypatch.setenv("HES_PASSWORD", password)
        meter = f"dlms://127.0.0.1:{target}" if isinstance(target, int) else target
        ran = hes("probe", meter, "--timeout", "5", *arguments)
        return Ran(ran.exit_code, ran.out, ran.err)

    return run
