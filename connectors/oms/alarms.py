"""Alarms from their octets: what grouping needs of one, at a fifth of the cost of the whole record.

A function is written from the schema, as `schemas.avro_writer` does: it walks the fields in order, keeps those of `Heard`
and steps over the others. It knows alarms of this release's schema with nothing odd about them; of any other value it says
so, and the codec reads it, or tells what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from connectors.oms.marks import Said
from schemas.codec import Codec, CodecError, expect
from schemas.records import Alarm, AlarmKind
from schemas.registry import avsc

CODES = {
    "alarm-names": "an alarm whose id, meter, transformer or feeder is longer than 200 characters: no outage could name it"
}
"""Codes of the dead letters, beside the codec's."""
_LONGEST_NAME = 200
_HEADER = 5


class Heard(NamedTuple):
    """The fields of an `Alarm` that grouping needs."""

    id: str
    meter_id: str
    kind: AlarmKind
    occurred_at: int
    meter_time_given: bool
    received_at: int
    feeder: str
    transformer: str
    life_support: bool


Walk: TypeAlias = Callable[[bytes], Heard]
"""Reads a value. ValueError or IndexError where there is anything odd about it."""


class AlarmReader:
    """Reads the values of hes.alarms."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._header = b""
        self._walk = walk_of(avsc(Alarm.__name__))

    def read(self, value: bytes | None) -> Said:
        """The alarm in a value. Errors as of `Codec.decode`; record-unexpected where it is none, alarm-names where an outage
        of many such would fit no record.
        """
        header = self._header or self._own_header()
        if value is not None and value[:_HEADER] == header:
            try:
                return self._walk(value)
            except (ValueError, IndexError):
                pass  # longer than most, or nothing that could be read: the codec tells which
        alarm = expect(self._codec.decode(value), Alarm)
        for name in (alarm.id, alarm.meter_id, alarm.transformer, alarm.feeder):
            if len(name) > _LONGEST_NAME:
                shown = f"a name of {len(name)} characters ({name[:40]}…)"
                raise CodecError("alarm-names", f"{shown}; {_LONGEST_NAME} are allowed")
        return alarm

    def _own_header(self) -> bytes:
        self._header = b"\0" + self._codec.id_of(Alarm).to_bytes(4)
        return self._header


def walk_of(schema: Mapping[str, Any]) -> Walk:
    """The function that reads alarms of a schema. ValueError where it has fields of a type that no alarm has."""
    known: dict[str, Any] = {"odd": _odd, "long_of": _long_of, "Heard": Heard}
    lines = ["def walk(value):", f"    at = {_HEADER}"]
    for field in schema["fields"]:
        name, kept = field["name"], field["name"] in Heard._fields
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name of a field")
        lines += [f"    {line}" for line in _lines(name, field["type"], known, kept=kept)]
    lines += ["    if at != len(value): odd()", f"    return Heard({', '.join(Heard._fields)})"]
    exec("\n".join(lines), known)  # noqa: S102 - source written here, of names that were checked
    walk: Walk = known["walk"]
    return walk


def _lines(name: str, schema: Any, known: dict[str, Any], *, kept: bool) -> list[str]:
    """What reads a field, or steps over it, from octet `at` on."""
    match schema:
        case "string":
            # Of more than 63 octets, or fewer than none, the length is another number than this.
            read = f"{name} = value[at:end].decode()" if kept else "value[at:end].isascii() or odd()"
            return ["size = value[at]", "if size & 129: odd()", "at += 1", "end = at + (size >> 1)", read, "at = end"]
        case {"type": "enum"}:
            found = f"{name} = symbols[value[at] >> 1]" if kept else "pass"
            if kept:
                known["symbols"] = [AlarmKind(symbol) for symbol in schema["symbols"]]
            return [f"if value[at] & 129 or value[at] >= {2 * len(schema['symbols'])}: odd()", found, "at += 1"]
        case "boolean":
            return ["if value[at] > 1: odd()", f"{name} = value[at] == 1", "at += 1"]
        case "long" | {"type": "long"}:
            return [f"{name}, at = long_of(value, at)"]
    raise ValueError(f"{name} is of a type that no alarm has")


def _long_of(value: bytes, at: int) -> tuple[int, int]:
    """A long of up to nine octets, and where it ends. Times of the same days have the same number of octets."""
    found = shift = 0
    while True:
        octet = value[at]
        at += 1
        if octet < 128:
            found |= octet << shift
            return (found >> 1) ^ -(found & 1), at
        found |= (octet & 127) << shift
        shift += 7
        if shift > 56:
            _odd()


def _odd() -> None:
    raise ValueError
