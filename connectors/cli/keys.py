"""Keys as a command is given them: two options, or a file by system title."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from connectors.cli.failure import usage
from connectors.protocols.dlms.ciphering import KeyLookup, Keys

_BETWEEN = re.compile(r"[\s:\-]")
_TITLE = re.compile(r"[0-9A-Fa-f]{16}")


def lookup(ek: str, ak: str, file: Path | None) -> KeyLookup:
    """Keys by system title. `--ek` and `--ak` hold for every meter; a file wins for those that it names."""
    if ak and not ek:
        raise usage("--ak without --ek opens nothing", "give the encryption key too: --ek HEX --ak HEX")
    every = _keys("--ek/--ak", {"ek": ek, "ak": ak}) if ek else None
    named = _file(file) if file else {}
    return lambda title: named.get(title.hex().upper(), every)


def _file(path: Path) -> dict[str, Keys]:
    """A JSON object by system title, or an object a line with `system_title` in it; each with `ek` and, mostly, `ak`.

    What an error says never comes from the file: a key may stand where a system title should.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise usage(f"cannot read the keys in {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise usage(f"the keys in {path} are no text in UTF-8", "write them as JSON") from None
    try:
        whole = json.loads(text)
        rows = whole.items() if isinstance(whole, dict) and "ek" not in whole else [_titled(whole)]
    except json.JSONDecodeError:
        rows = [_titled(_line(path, number, line)) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    except RecursionError:
        raise usage(f"{path} is nested too deep to be a file of keys") from None
    return {title: _keys(f"{path}, system title {title}", entry) for title, entry in _checked(path, rows)}


def _line(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise usage(f"{path}, line {number} is no JSON: {error.msg}") from None


def _titled(entry: Any) -> tuple[Any, Any]:
    return (entry.get("system_title"), entry) if isinstance(entry, dict) else (None, entry)


def _checked(path: Path, rows: Iterable[tuple[Any, Any]]) -> Iterable[tuple[str, dict[str, Any]]]:
    for number, (title, entry) in enumerate(rows, 1):
        if not isinstance(title, str) or not isinstance(entry, dict):
            raise usage(
                f"{path} does not name keys by system title",
                'write {"4C475A677370B177": {"ek": "HEX", "ak": "HEX"}}, or one a line with "system_title"',
            )
        bare = _BETWEEN.sub("", title)
        if not _TITLE.fullmatch(bare):
            raise usage(f"{path}, entry {number}: the system title is not 16 hex digits")
        if entry.get("ek"):
            yield bare.upper(), entry


def _keys(where: str, entry: dict[str, Any]) -> Keys:
    try:
        ak = entry.get("ak") or ""
        return Keys(ek=bytes.fromhex(entry["ek"]), ak=bytes.fromhex(ak) if ak else None)
    except (ValueError, TypeError) as error:
        # The error of bytes.fromhex names positions, never digits; that of Keys names lengths.
        raise usage(f"{where}: {error}", "a key is 32 hex digits") from None
