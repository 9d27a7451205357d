"""Keys as a command is given them: two options, or a file by system title (DLMS) and application title (C12.22).

    {"4C475A677370B177": {"ek": "HEX", "ak": "HEX"}, "1.3.6.1.4.1.33507.1919.22906.0": {"eax": {"0": "HEX", "2": "HEX"}}}

or one object a line with `system_title`, or with `ap_title`. The title "*" is any node's; keys of EAX' may stand under
`eax_keys` as shipment files have them, too: "0=HEX 2=HEX".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from connectors.cli.failure import usage
from connectors.protocols.c12 import c1222_security
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.titles import C1222_BASE, ApTitle, title
from connectors.protocols.dlms.ciphering import KEY_OCTETS, KeyLookup, Keys
from connectors.protocols.dlms.meter_keys import read_eax

_BETWEEN = re.compile(r"[\s:\-]")
_TITLE = re.compile(r"[0-9A-Fa-f]{16}")
_AP_TITLE = re.compile(r"\*|\.?[0-9]+(\.[0-9]+)+|\.[0-9]+")
_EAX = 17
_LONG_SUITE = 2
_OWN = {"ek", "eax", "eax_keys", "ap_title", "system_title", "identities"}
"""Names of which an object that is one entry has one."""


def lookup(ek: str, ak: str, file: Path | None) -> KeyLookup:
    """Keys by system title. `--ek` and `--ak` hold for every meter; a file wins for those that it names."""
    if ak and not ek:
        raise usage("--ak without --ek opens nothing", "give the encryption key too: --ek HEX --ak HEX")
    every = _keys("--ek/--ak", {"ek": ek, "ak": ak}) if ek else None
    named = _file(file) if file else {}
    return lambda title: named.get(title.hex().upper(), every)


def eax_lookup(file: Path | None, base: ApTitle = C1222_BASE) -> c1222_security.KeyLookup:
    """Keys of EAX' by application title and key id. Relative titles are made absolute by `base`."""
    keys: dict[tuple[str, int], bytes] = {}
    for number, (name, entry) in enumerate(_rows(file) if file else (), 1):
        if isinstance(name, str) and isinstance(entry, dict) and _AP_TITLE.fullmatch(name):
            where = f"{file}, entry {number}"
            try:
                shown = name if name == "*" else title(name).absolute(base).text
            except C12Error:
                raise usage(f"{where}: no application title", "write it like 1.3.6.1.4.1.33507.1") from None
            keys |= {(shown, key_id): key for key_id, key in _ring(where, entry).items()}
    return c1222_security.keyring(keys)


def _ring(where: str, entry: dict[str, Any]) -> dict[int, bytes]:
    """Keys by key id, from an object or from a shipment's text. What an error says never comes from the file."""
    given = entry.get("eax", entry.get("eax_keys")) or {}
    if isinstance(entry.get("secrets"), dict):
        given = given or entry["secrets"].get("eax_keys") or {}
    if isinstance(given, dict):
        given = " ".join(f"{key_id}={key}" for key_id, key in given.items())
    if not given:
        return {}
    try:
        octets = read_eax(given if isinstance(given, str) else "-")
    except ValueError as error:
        raise usage(f"{where}: eax {error}", 'write {"eax": {"0": "HEX"}} with keys of 32 hex digits') from None
    return {octets[at]: octets[at + 1 : at + _EAX] for at in range(0, len(octets), _EAX)}


def _file(path: Path) -> dict[str, Keys]:
    """Keys of DLMS by system title; each entry with `ek` and, mostly, `ak`."""
    return {found: _keys(f"{path}, system title {found}", entry) for found, entry in _checked(path, _rows(path))}


def _rows(path: Path) -> list[tuple[Any, Any]]:
    """Titles and entries of a file, unchecked.

    What an error says never comes from the file: a key may stand where a title should.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise usage(f"cannot read the keys in {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise usage(f"the keys in {path} are no text in UTF-8", "write them as JSON") from None
    try:
        whole = json.loads(text)
        one = not isinstance(whole, dict) or bool(_OWN & whole.keys())
        return [_titled(whole)] if one else list(whole.items())
    except json.JSONDecodeError:
        return [_titled(_line(path, number, line)) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    except RecursionError:
        raise usage(f"{path} is nested too deep to be a file of keys") from None


def _line(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise usage(f"{path}, line {number} is no JSON: {error.msg}") from None


def _titled(entry: Any) -> tuple[Any, Any]:
    """An object's title, which it names itself; of a shipment's line also among its identities."""
    if not isinstance(entry, dict):
        return None, entry
    found = entry.get("system_title") or entry.get("ap_title")
    listed = entry.get("identities")
    for item in listed if found is None and isinstance(listed, list) else ():
        if isinstance(item, dict) and item.get("kind") in ("SYSTEM_TITLE", "AP_TITLE"):
            return item.get("value"), entry
    return found, entry


def _checked(path: Path, rows: Iterable[tuple[Any, Any]]) -> Iterable[tuple[str, dict[str, Any]]]:
    for number, (name, entry) in enumerate(rows, 1):
        if not isinstance(name, str) or not isinstance(entry, dict):
            raise usage(
                f"{path} does not name keys by system title",
                'write {"4C475A677370B177": {"ek": "HEX", "ak": "HEX"}}, or one a line with "system_title"',
            )
        if _AP_TITLE.fullmatch(name):
            continue
        bare = _BETWEEN.sub("", name)
        if not _TITLE.fullmatch(bare):
            raise usage(f"{path}, entry {number}: the system title is not 16 hex digits")
        if entry.get("ek"):
            yield bare.upper(), entry


def _keys(where: str, entry: dict[str, Any]) -> Keys:
    try:
        ek, ak = bytes.fromhex(entry["ek"]), entry.get("ak") or ""
        suite = _LONG_SUITE if len(ek) == KEY_OCTETS[_LONG_SUITE] else 0
        return Keys(ek=ek, ak=bytes.fromhex(ak) if ak else None, suite=suite, any_suite=True)
    except (ValueError, TypeError) as error:
        # The error of bytes.fromhex names positions, never digits; that of Keys names lengths.
        raise usage(f"{where}: {error}", "a key is 32 hex digits, of suite 2 64") from None
