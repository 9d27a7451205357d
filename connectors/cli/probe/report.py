"""What a probe found, to stdout, and how it goes, to stderr."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from connectors.cli.output import Format, chosen, emit, say
from connectors.protocols.dlms.errors import DlmsError


class Report:
    """Facts about the meter are one table, each list that was asked for another; JSON and text come as they are found.

    A row of JSON says by `what` what it is; a failure has `tried`, `error` with its code and detail, and `try`.
    """

    def __init__(self, format: Format | None) -> None:  # noqa: A002 - the option's name
        self._format = chosen(format)
        self._facts: list[dict[str, Any]] = []
        self.failures = 0

    @property
    def json(self) -> bool:
        """Whether a program reads it."""
        return self._format is Format.JSON

    def doing(self, words: str) -> None:
        """What is being done now."""
        say(f"[dim]·[/] {words}")

    def fact(self, what: str, value: Any, **more: Any) -> None:
        """One thing about the meter."""
        known = {name: item for name, item in more.items() if item not in (None, "")}
        if self._format is Format.TABLE:
            said = ", ".join(f"{name} {_plain(item)}" for name, item in known.items())
            self._facts.append({"what": what, "value": value, "more": said})
            return
        emit([{"what": what, "value": value, **known}], self._format)

    def rows(self, what: str, found: Iterable[Mapping[str, Any]], *, empty: str) -> None:
        """A list of things."""
        rows = list(found)
        if self._format is Format.TABLE:
            self.flush()
            emit(rows, self._format, empty=empty)
            return
        emit(({"what": what, **row} for row in rows), self._format)
        if not rows:
            say(empty)

    def failed(self, what: str, tried: str, error: DlmsError, mend: str = "", *, last: bool = False) -> None:
        """A step that did not succeed. With `last` whoever ends the command says it to the person."""
        self.failures += 1
        if not last:
            say(f"[red]✗[/] {what}: tried {tried}; {error.detail}")
            if mend:
                say(f"    try: {mend}")
        if self.json:
            row: dict[str, Any] = {"what": what, "tried": tried, "error": {"code": error.code, "detail": error.detail}}
            emit([row | ({"try": mend} if mend else {})], self._format)

    def flush(self) -> None:
        """Print the facts that wait for their table."""
        if self._facts:
            emit(self._facts, self._format)
            self._facts = []


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
