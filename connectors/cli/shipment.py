"""Vendors' shipment files: which meters were delivered, with their keys. CSV with a header, or JSON one object a line."""

from __future__ import annotations

import csv
import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from connectors.cli.failure import usage
from connectors.gateway.addresses import ENDPOINTS, is_address
from connectors.protocols.dlms.meter_keys import READERS, MeterKeys
from schemas.records import Identity, IdentityKind, Meter, MeterState, Network, Protocol, UtilityKind

_IDENTITIES = {
    "system_title": IdentityKind.SYSTEM_TITLE,
    "logical_device_name": IdentityKind.LOGICAL_DEVICE_NAME,
    "serial": IdentityKind.SERIAL,
    "ap_title": IdentityKind.AP_TITLE,
    "from_endpoint": IdentityKind.ENDPOINT,
}
_KEYS = {
    "ek": "ek", "ak": "ak", "kek": "kek", "broadcast_key": "broadcast", "signing_key": "signing",
    "agreement_key": "agreement", "certificate": "certificate", "meter_certificate": "meter_signing",
    "meter_agreement_certificate": "meter_agreement", "eax_keys": "eax", "des_key": "des", "logon_user": "user",
}  # fmt: skip
"""Columns to fields of `MeterKeys`. Symmetric keys are hex (C12's as `id=HEX`); private keys, public keys and certificates
PEM or hex; a C12 user is `number:name`."""
_SECRETS = (*_KEYS, "password")
_OURS = ("updated_at", "firmware_at")
"""Fields of a meter that no file states."""
_ENUMS: dict[str, type[StrEnum]] = {"utility": UtilityKind, "protocol": Protocol, "network": Network, "state": MeterState}
_MODEL = {item.name: item for item in fields(Meter)}
_COLUMNS = sorted({*_MODEL, *_IDENTITIES, *_SECRETS, "secrets"} - {"identities", *_OURS})
_CSV_COLUMNS = [name for name in _COLUMNS if name != "secrets"]
_NAME = re.compile(r"[a-z][a-z _-]{0,40}")
_SAMPLE = 64
_BETWEEN = re.compile(r"[\s:\-]")
_TITLE = re.compile(r"[0-9A-F]{16}")
_TRUE, _FALSE = ("1", "true", "yes", "y"), ("", "0", "false", "no", "n")


@dataclass(frozen=True, slots=True)
class Row:
    """A meter and its keys."""

    line: int
    meter: Meter
    keys: MeterKeys | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wrong:
    """A line that is none, and why. Never holds a key."""

    line: int
    detail: str


def read_shipment(path: Path) -> Iterator[Row | Wrong]:
    """Rows of a shipment file, in order. A wrong line does not stop the next."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.read(_SAMPLE).lstrip()[:1]
            file.seek(0)
            if first == "[":
                raise usage(f"{path} is one JSON array", "write one object a line: jq -c '.[]' FILE")
            yield from _json_lines(file) if first == "{" else _csv(path, file)
    except UnicodeDecodeError as error:
        raise usage(f"{path} is no text in UTF-8", "save it as CSV in UTF-8") from error
    except OSError as error:
        raise usage(f"cannot read {path}: {error.strerror}") from error


def _json_lines(lines: Iterator[str] | Any) -> Iterator[Row | Wrong]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            yield Wrong(number, f"is no JSON: {error.msg}")
            continue
        except RecursionError:
            yield Wrong(number, "is nested too deep to be a meter")
            continue
        yield _row(number, entry) if isinstance(entry, dict) else Wrong(number, "is no JSON object")


def _csv(path: Path, lines: Any) -> Iterator[Row | Wrong]:
    sample = lines.readline()
    lines.seek(0)
    reader = csv.DictReader(lines, delimiter=max(",;\t", key=sample.count))
    names = [name.strip().lower() for name in reader.fieldnames or []]
    _check_columns(path, names)
    reader.fieldnames = names
    while True:
        try:
            entry = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Wrong(reader.reader.line_num, f"is no CSV: {error}")
            continue
        if None in entry or None in entry.values():
            yield Wrong(reader.line_num, f"has not the {len(names)} fields that the first line names")
        elif any(value.strip() for value in entry.values()):
            yield _row(reader.line_num, {name: value.strip() for name, value in entry.items()})


def _check_columns(path: Path, names: list[str]) -> None:
    for number, name in enumerate(names, 1):
        if name not in _CSV_COLUMNS:
            near = difflib.get_close_matches(name, _CSV_COLUMNS, 1)
            hint = f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(_CSV_COLUMNS)
            # Where the first line names no columns, it may hold a key.
            shown = repr(name) if _NAME.fullmatch(name) else f"{number} whose name is none"
            raise usage(f"{path} has a column {shown}, which no meter has", hint)
        if name in names[: number - 1]:
            raise usage(f"{path} has the column {name!r} twice", "rename or remove one")
    if "id" not in names:
        raise usage(f"{path} has no column 'id'", "the first line must name the columns: " + ", ".join(_CSV_COLUMNS))


def _row(number: int, entry: Mapping[str, Any]) -> Row | Wrong:
    try:
        meter = _meter(entry)
        keys = _keys(entry, meter.id)
    except (ValueError, TypeError) as error:
        return Wrong(number, str(error))
    return Row(number, meter, keys)


def _meter(entry: Mapping[str, Any]) -> Meter:
    unknown = [name for name in entry if name not in _COLUMNS and name not in ("identities", *_OURS)]
    if unknown:
        shown = repr(unknown[0]) if _NAME.fullmatch(unknown[0]) else "one of its names"
        raise ValueError(f"{shown} is no field of a meter")
    if not str(entry.get("id") or "").strip():
        raise ValueError("has no id")
    values = {name: _value(name, entry[name]) for name in _MODEL if name in entry and name != "identities"}
    values.pop("firmware_at", None)  # what a meter told is not a file's to state
    given = [_identity(kind, entry[name]) for name, kind in _IDENTITIES.items() if str(entry.get(name) or "").strip()]
    values["identities"] = tuple(dict.fromkeys(given + _listed(entry.get("identities") or [])))
    values.setdefault("protocol", Protocol.DLMS)
    values.setdefault("utility", UtilityKind.ELECTRICITY)
    if values.get("state", MeterState.UNKNOWN) is MeterState.UNKNOWN:
        values["state"] = MeterState.INSTALLED
    values["key_ref"] = values.get("key_ref") or values["id"]
    meter = Meter(**values)
    if meter.endpoint and not is_address(meter.endpoint):
        raise ValueError(f"endpoint is none: {ENDPOINTS} is expected")
    return meter


def _value(name: str, given: Any) -> Any:
    """A field's value. An error names the field and not the value: in a file whose columns slipped it may be a key."""
    if (enum := _ENUMS.get(name)) is not None:
        try:
            return enum(str(given or "").strip().upper().replace("-", "_") or "UNKNOWN")
        except ValueError:
            raise ValueError(f"{name} must be one of {', '.join(enum)}") from None
    default = _MODEL[name].default
    if isinstance(default, bool):
        text = str(given or "").strip().lower()
        if text not in _TRUE + _FALSE:
            raise ValueError(f"{name} must be true or false")
        return text in _TRUE
    if isinstance(default, tuple):
        parts = given if isinstance(given, list) else str(given or "").split("|")
        return tuple(text for part in parts if (text := str(part).strip()))
    if isinstance(default, int):
        try:
            return int(given or 0)
        except (TypeError, ValueError):
            raise ValueError(f"{name} must be a whole number") from None
    return str(given or "").strip()


def _listed(items: Any) -> list[Identity]:
    try:
        return [_identity(IdentityKind(item["kind"]), item["value"]) for item in items]
    except (TypeError, KeyError):
        raise ValueError('identities must be a list of {"kind": …, "value": …}') from None


def _identity(kind: IdentityKind, given: Any) -> Identity:
    text = str(given).strip()
    if kind is IdentityKind.SYSTEM_TITLE:
        text = _BETWEEN.sub("", text).upper()
        if not _TITLE.fullmatch(text):
            raise ValueError("system_title must be 16 hex digits")
    return Identity(kind, text)


def _keys(entry: Mapping[str, Any], meter_id: str) -> MeterKeys | None:
    """What an error says never comes from the file."""
    nested = entry.get("secrets") or {}
    if not isinstance(nested, dict):
        raise TypeError("secrets must be an object")
    secrets = {name: value for name, value in {**entry, **nested}.items() if name in _SECRETS and value}
    if not secrets:
        return None
    octets: dict[str, Any] = {}
    for column, name in _KEYS.items():
        if column in secrets:
            text = secrets[column]
            try:
                # In one line of CSV a PEM file has its ends of lines written out.
                octets[name] = READERS[name](text.replace("\\n", "\n") if isinstance(text, str) else "-")
            except ValueError as error:
                raise ValueError(f"{column} {error}") from None
    password = secrets.get("password")
    return MeterKeys(password=str(password).encode() if password else None, meter=meter_id, **octets)


def twice(rows: Iterable[Row]) -> dict[int, int]:
    """Rows (by their place) of a meter that stands on an earlier row with other values: that row's place. Which of them is
    right, nobody but the sender knows.
    """
    first: dict[str, tuple[int, Row]] = {}
    found: dict[int, int] = {}
    for place, row in enumerate(rows):
        before, known = first.setdefault(row.meter.id, (place, row))
        if (known.meter, known.keys) != (row.meter, row.keys):
            found[place] = before
    return found


def shared(rows: Iterable[Row], owner: Callable[[str], str]) -> dict[int, str]:
    """Rows (by their place) whose key reference is another meter's already: that meter's id. `owner` says whose a reference
    is, as far as it is known. Two meters must not have one, or invocation counters are used twice under one key.
    """
    holders: dict[str, str] = {}
    found: dict[int, str] = {}
    for place, row in enumerate(rows):
        ref, meter_id = row.meter.key_ref, row.meter.id
        holder = holders.setdefault(ref, owner(ref) or meter_id)
        if holder != meter_id:
            found[place] = holder
    return found
