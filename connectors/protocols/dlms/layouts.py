"""From a push body to named values: the layouts that real meters use, recognised by their shape or said by a template.

`object-list`  the push setup's own list of objects, then the values by position
`push-setup`   who pushes, the push setup's name, then values by position or named (IDIS, DSMR, SMR 5)
`list`         values by position under a published list identifier (Norway)
`tagged`       values that carry their name: OBIS or attribute descriptor before the value, flat or in structures of any
               depth, with or without scaler and unit
`positional`   values by position, only as a template says

They are tried in this order; the first that fits reads the body. What stands in it without a name is kept as `unnamed`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from connectors.protocols.dlms.axdr import Array, BitString, Structure, Value
from connectors.protocols.dlms.cosem import CLOCK, LOGICAL_DEVICE_NAME, obis
from connectors.protocols.dlms.errors import LayoutError
from connectors.protocols.dlms.found import Found
from connectors.protocols.dlms.lists import ALARM_REGISTERS, LISTS, STATUS_WORDS
from connectors.protocols.dlms.names import (
    PUSH_SETUP,
    Descriptor,
    holds_obis,
    is_number,
    is_obis,
    is_push_setup,
    is_time,
    object_list,
)
from connectors.protocols.dlms.tagged import read_tagged
from connectors.protocols.dlms.telegram import scalar
from connectors.protocols.dlms.template import Position, PushTemplate

_ANY_LIST = "*"
_EQUIPMENT_ID_SIZE = 17
"""DSMR's equipment identifier; a logical device name has 16 octets and starts with the maker's three letters."""


def read_body(
    body: Value,
    template: PushTemplate,
    *,
    tagged_time: bool = False,
    found: Callable[[str, PushTemplate], Found] = Found,
) -> Found:
    """The named values of a data-notification's body, in what `found` makes.

    `tagged_time` is the mark of Kaifa's meters, whose list 1 has no other. Raises LayoutError where no
    layout fits, or where the template's does not.
    """
    names = (template.layout,) if template.layout else tuple(_READERS)
    for name in names:
        collected = found(name, template)
        if _READERS[name](body, collected, tagged_time):
            return collected
    looked_for = f"layout {template.layout!r} of template {template.name!r}" if template.layout else "any known layout"
    raise _unknown(
        f"{_shape(body)} does not fit {looked_for}: name its positions in a template (push.objects or push.lists)",
        body,
        template,
    )


def _unknown(detail: str, body: Value, template: PushTemplate) -> LayoutError:
    items: Sequence[Value] = body if isinstance(body, (Structure, Array)) else (body,)
    reverse = template.deviation_reversed
    return LayoutError(detail, tuple(scalar(item, deviation_reversed=reverse) for item in items))


def _shape(body: Value) -> str:
    if not isinstance(body, (Structure, Array)):
        return f"a body of one {type(body).__name__}"
    kinds = ", ".join(type(item).__name__.lower() for item in body[:8])
    more = ", …" if len(body) > 8 else ""
    return f"a body of {len(body)} elements ({kinds}{more})"


def _object_list(body: Value, found: Found, _: bool) -> bool:
    if not isinstance(body, Structure):
        return False
    for at, item in enumerate(body[:2]):
        objects = object_list(item)
        if objects is None and isinstance(item, Structure):  # the whole push setup, its list among its attributes
            objects = next((inner for inner in map(object_list, item) if inner is not None), None)
        if objects is not None:
            named, values = _by_object(objects, body, at, found)
            found.unnamed.extend(body[:at] if values is not body else ())
            found.objects(named, values)
            return bool(found.values or found.profiles)
    return False


def _by_object(
    objects: tuple[Descriptor, ...], body: Structure, at: int, found: Found
) -> tuple[Sequence[Descriptor], Sequence[Value]]:
    """The objects with their values: the list, at `at`, is itself one of the values where it lists its own push setup."""
    own = next((i for i, o in enumerate(objects) if o.class_id == PUSH_SETUP and o.attribute in (0, 2)), None)
    if own is not None and own == at and len(objects) == len(body):
        return objects, body
    listed = [o for i, o in enumerate(objects) if i != own]
    rest: Sequence[Value] = body[at + 1 :]
    for candidate in (objects, listed):
        if len(candidate) == len(rest):
            return candidate, rest
        if len(rest) == 1 and isinstance(rest[0], (Structure, Array)) and len(rest[0]) == len(candidate):
            return candidate, rest[0]
    raise _unknown(
        f"the push object list names {len(objects)} objects and {len(rest)} values follow: none can be given its name",
        body,
        found.template,
    )


def _push_setup(body: Value, found: Found, _: bool) -> bool:
    if not isinstance(body, Structure):
        return False
    at = next((i for i, item in enumerate(body[:4]) if is_push_setup(item)), None)
    if at is None or any(_as_text(item) is None for item in body[:at]):
        return False
    setup = obis(bytes(body[at]))  # type: ignore[arg-type]  # is_push_setup says that these are octets
    positions = found.template.objects.get(setup)
    if at == 0 and (positions is None or len(positions) != len(body)) and not _names_itself(body):
        return False  # a named value, not a push's own name
    found.source = f"{PUSH_SETUP}/{setup}/1"
    if positions is not None and len(positions) == len(body):
        found.positions(positions, body)
        return True
    for item in body[:at] or body[1:2]:
        found.add(_identity(_as_text(item) or ""), item)
    _after_push_setup(setup, body[at + 1 :] if at else body[2:], found)
    return True


def _names_itself(body: Structure) -> bool:
    """The push setup's name first, then who pushes, then values without names (KELAG's Iskraemeco AM550)."""
    return len(body) > 1 and _as_text(body[1]) is not None and not holds_obis(Structure(body[1:]))


def _after_push_setup(setup: str, rest: tuple[Value, ...], found: Found) -> None:
    while rest and is_time(rest[0]):
        found.add(Descriptor(CLOCK, 8), rest[0])
        rest = rest[1:]
    registers = ALARM_REGISTERS.get(setup, ())
    if rest and len(rest) <= len(registers) and all(is_number(item) for item in rest):
        for register, item in zip(registers, rest, strict=False):
            found.add(Descriptor(register, 1), item)
    elif setup in STATUS_WORDS and len(rest) == 1 and isinstance(rest[0], BitString):
        found.add(Descriptor(STATUS_WORDS[setup], 1), rest[0])
    elif holds_obis(Structure(rest)):
        read_tagged(rest, found)
    else:
        found.unnamed.extend(rest)


def _identity(text: str) -> Descriptor:
    if text[:3].isalpha() and text[:3].isupper():
        return Descriptor(LOGICAL_DEVICE_NAME, 1)
    return Descriptor("0.0.96.1.1.255" if len(text) == _EQUIPMENT_ID_SIZE else "0.0.96.1.0.255", 1)


def _as_text(value: Value) -> str | None:
    """The text of an identity: octets or a string, no OBIS code and no time."""
    if not isinstance(value, (bytes, str)) or is_obis(value) or is_time(value):
        return None
    text = scalar(value)
    return text if isinstance(text, str) and text else None


def _list(body: Value, found: Found, tagged_time: bool) -> bool:
    if not isinstance(body, Structure) or not body:
        return False
    identifier = _as_text(body[0]) or ""
    known, size = found.template.lists, len(body)
    positions = known.get((identifier, size)) or known.get((_ANY_LIST if identifier else "", size))
    if positions is None and (identifier or (tagged_time and is_number(body[0]))):
        positions = LISTS.get((identifier, size))
    if positions is None or (not known and any(isinstance(item, (Structure, Array)) for item in body)):
        return False
    found.list_id = (identifier or None) if positions is not known.get((_ANY_LIST, size)) else None
    found.positions(positions, body)
    return True


def _tagged(body: Value, found: Found, _: bool) -> bool:
    if not isinstance(body, (Structure, Array)):
        return False
    read_tagged(body, found)
    return bool(found.values)


def _positional(body: Value, found: Found, _: bool) -> bool:
    positions: tuple[Position, ...] | None = found.template.objects.get("*")
    items: Sequence[Value] = body if isinstance(body, (Structure, Array)) else (body,)
    if positions is None or len(positions) != len(items):
        return False
    found.positions(positions, items)
    return True


_Reader = Callable[[Value, Found, bool], bool]
_READERS: dict[str, _Reader] = {
    "object-list": _object_list,
    "push-setup": _push_setup,
    "list": _list,
    "tagged": _tagged,
    "positional": _positional,
}
