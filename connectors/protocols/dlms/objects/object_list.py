"""The object list of an association (class 15 attribute 2, class 12 attributes 2 and 3): what a meter has, and what this
client may do with it. It changes with the meter's firmware only: keep it by that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.answers import whole
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import PeerError
from connectors.protocols.dlms.get import LIMITS, Attribute, Limits
from connectors.protocols.dlms.objects.reading import integer, items, obis, read, structure, unlike
from connectors.protocols.dlms.short_names import ShortNames, read_names, sn_get

CURRENT = Attribute(15, "0.0.40.0.0.255", 2)
CURRENT_SHORT = Attribute(12, "0.0.40.0.0.255", 3)
_BITS_SINCE = 3
"""The version of class 15 from which rights are bits, before it they are an enum."""

_MODES = ("none", "read", "write", "read-write", "authenticated read", "authenticated write", "authenticated read-write")
_METHOD_MODES = ("none", "access", "authenticated access")
_PROTECTION = {
    0x04: "authenticated request", 0x08: "encrypted request", 0x10: "signed request",
    0x20: "authenticated response", 0x40: "encrypted response", 0x80: "signed response",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Right:
    """What the client may do with one attribute or method. `mode` is as sent: an enum, or bits where `bits`."""

    index: int
    mode: int
    bits: bool = False
    selectors: tuple[int, ...] = ()

    @property
    def readable(self) -> bool:
        """Of an attribute: whether it may be read, under whatever protection."""
        return bool(self.mode & 1) if self.bits else self.mode in (1, 3, 4, 6)

    @property
    def writable(self) -> bool:
        """Of an attribute: whether it may be written, under whatever protection."""
        return bool(self.mode & 2) if self.bits else self.mode in (2, 3, 5, 6)

    @property
    def callable(self) -> bool:
        """Of a method: whether it may be invoked, under whatever protection."""
        return bool(self.mode & 1) if self.bits else self.mode in (1, 2)

    def text(self, *, method: bool = False) -> str:
        """As words."""
        if not self.bits:
            names = _METHOD_MODES if method else _MODES
            return names[self.mode] if 0 <= self.mode < len(names) else str(self.mode)
        what = ("none", "access", "none", "access")[self.mode & 3] if method else _MODES[self.mode & 3]
        return ", ".join([what, *(name for bit, name in _PROTECTION.items() if self.mode & bit)])


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """One object of a meter."""

    class_id: int
    version: int
    obis: str
    attributes: tuple[Right, ...] = ()
    methods: tuple[Right, ...] = ()
    base: int | None = None
    """Its short name, in an association that has them."""

    def attribute(self, index: int) -> Right | None:
        """The right to an attribute, where the list tells."""
        return next((right for right in self.attributes if right.index == index), None)

    def method(self, index: int) -> Right | None:
        """The right to a method, where the list tells."""
        return next((right for right in self.methods if right.index == index), None)

    def to_json(self) -> dict[str, Any]:
        """What `hes probe --objects` prints, one object a line."""
        out: dict[str, Any] = {
            "class": self.class_id,
            "version": self.version,
            "obis": self.obis,
            "attributes": {str(right.index): right.text() for right in self.attributes},
            "methods": {str(right.index): right.text(method=True) for right in self.methods},
        }
        if selectors := {str(right.index): list(right.selectors) for right in self.attributes if right.selectors}:
            out["selectors"] = selectors
        if self.base is not None:
            out["short_name"] = f"{self.base:04X}"
        return out


@dataclass(frozen=True, slots=True)
class ObjectList:
    """Every object that the association shows, in the meter's order."""

    objects: tuple[ObjectEntry, ...]

    def __len__(self) -> int:
        return len(self.objects)

    def __iter__(self) -> Iterator[ObjectEntry]:
        return iter(self.objects)

    def find(self, obis: str, class_id: int | None = None) -> ObjectEntry | None:
        """The object of a logical name (and class), None where the meter has none."""
        same = (entry for entry in self.objects if entry.obis == obis and class_id in (None, entry.class_id))
        return next(same, None)

    def matching(self, pattern: str = "*.*.*.*.*.*", class_id: int | None = None) -> tuple[ObjectEntry, ...]:
        """Objects whose logical name is `pattern`, in which a group may be `*`, such as "0.*.24.1.0.255"."""
        groups = pattern.split(".")
        return tuple(
            entry
            for entry in self.objects
            if class_id in (None, entry.class_id)
            and all(want in ("*", have) for want, have in zip(groups, entry.obis.split("."), strict=True))
        )

    def may_read(self, attribute: Attribute) -> bool | None:
        """Whether this client may; None where the list has the object and no rights, False where it lacks the object."""
        entry = self.find(attribute.obis, attribute.class_id)
        if entry is None:
            return False
        right = entry.attribute(attribute.attribute)
        return None if right is None else right.readable

    def to_json(self) -> list[dict[str, Any]]:
        """See `ObjectEntry.to_json`."""
        return [entry.to_json() for entry in self.objects]


def read_object_list(link: Associated, association: Attribute = CURRENT, *, limits: Limits = LIMITS) -> Session[ObjectList]:
    """The list of the current association, or of another where the meter shows it (0.0.40.0.e)."""
    subject = str(association)
    rows = items((yield from read(link, association, limits=limits)), subject)
    return ObjectList(_rights_read(tuple(_entry(row, subject) for row in rows), association))


def read_short_name_list(link: Associated, *, limits: Limits = LIMITS) -> Session[tuple[ObjectList, ShortNames]]:
    """The same of an association by short names, and the names themselves; rights where the meter tells them."""
    names = yield from read_names(link, limits=limits)
    rights: dict[int, tuple[tuple[Right, ...], tuple[Right, ...]]] = {}
    subject = str(CURRENT_SHORT)
    try:
        told = whole((yield from sn_get(link, names, CURRENT_SHORT, limits=limits)), subject)
        for row in items(told, subject):
            base, attributes, methods = structure(row, 3, subject)[:3]
            rights[integer(base, subject) & 0xFFFF] = _rights(attributes, subject), _rights(methods, subject)
    except PeerError as error:
        if error.code != "peer-access":
            raise
    objects = []
    for item in names.objects:
        attributes_of, methods_of = rights.get(item.base, ((), ()))
        objects.append(ObjectEntry(item.class_id, item.version, item.obis, attributes_of, methods_of, item.base))
    return ObjectList(tuple(objects)), names


def _entry(row: axdr.Value, subject: str) -> ObjectEntry:
    class_id, version, name, *rest = structure(row, 3, subject)
    attributes: tuple[Right, ...] = ()
    methods: tuple[Right, ...] = ()
    if rest and rest[0] is not None:
        rights = structure(rest[0], 2, subject)
        attributes, methods = _rights(rights[0], subject), _rights(rights[1], subject)
    return ObjectEntry(integer(class_id, subject), integer(version, subject), obis(name, subject), attributes, methods)


def _rights(rows: axdr.Value, subject: str) -> tuple[Right, ...]:
    found = []
    for row in items(rows, subject):
        index, mode, *rest = structure(row, 2, subject)
        selectors: Sequence[axdr.Value] = ()
        if rest and rest[0] is not None:
            if not isinstance(rest[0], axdr.Array):
                raise unlike(subject, "an array of selectors", rest[0])
            selectors = rest[0]
        found.append(
            Right(integer(index, subject), integer(mode, subject), False, tuple(integer(n, subject) for n in selectors))
        )
    return tuple(found)


def _rights_read(entries: tuple[ObjectEntry, ...], association: Attribute) -> tuple[ObjectEntry, ...]:
    """`entries` with their rights as bits where the association's own version says so, or a mode is beyond the enum."""
    listed = [entry.version for entry in entries if entry.class_id == association.class_id]
    beyond = any(right.mode >= len(_MODES) for entry in entries for right in (*entry.attributes, *entry.methods))
    if not beyond and not any(version >= _BITS_SINCE for version in listed):
        return entries

    def as_bits(rights: tuple[Right, ...]) -> tuple[Right, ...]:
        return tuple(replace(right, bits=True) for right in rights)

    return tuple(replace(entry, attributes=as_bits(entry.attributes), methods=as_bits(entry.methods)) for entry in entries)
