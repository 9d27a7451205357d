"""Values that carry their name, however a meter groups them.

One walk reads every form that is met: OBIS and value side by side, each pair in a structure of its own, class and attribute
before or around the OBIS, scaler and unit behind the value, before it, or turned round, and any nesting of arrays and
structures around. Nothing of it is guessed from values: a name is an octet-string of six that can be an OBIS code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.protocols.dlms.axdr import Array, Enum, Structure, Value
from connectors.protocols.dlms.cosem import MeterTime, obis, try_datetime, unit_symbol
from connectors.protocols.dlms.found import Found
from connectors.protocols.dlms.names import (
    Descriptor,
    descriptor,
    holds_obis,
    is_attribute,
    is_class,
    is_number,
    is_obis,
    is_time,
    scaler_unit,
)

_Unit = tuple[int, str]


@dataclass(frozen=True, slots=True)
class _Named:
    """A value with its name, taken from `used` elements."""

    what: Descriptor
    value: Value
    used: int
    unit: _Unit | None = None


def read_tagged(items: Sequence[Value], found: Found) -> None:
    """Adds to `found` what is named in `items`, the rest to its unnamed; refines the layout's name to what was met."""
    shapes: set[str] = set()
    _walk(items, found, shapes, depth=0, time=None)
    if found.layout == "tagged":
        found.layout = next((shape for shape in ("descriptors", "tagged-scaler") if shape in shapes), "tagged")


def _walk(items: Sequence[Value], found: Found, shapes: set[str], *, depth: int, time: MeterTime | None) -> None:
    at = 0
    while at < len(items):
        item = items[at]
        named = _named(items, at)
        if named is not None:
            at += named.used
            found.add(named.what, named.value, named.unit, time)
            shapes.add("descriptors" if named.what.class_id is not None else "tagged-scaler" if named.unit else "tagged")
            continue
        at += 1
        if depth and is_time(item):
            time = try_datetime(bytes(item), deviation_reversed=found.template.deviation_reversed)
        elif is_obis(item) and at < len(items) and isinstance(items[at], Array):
            found.source = obis(item)  # the name of what the array holds
        elif isinstance(item, (Structure, Array)) and holds_obis(item):
            _walk(item, found, shapes, depth=depth + 1, time=time)
        else:
            found.unnamed.append(item)


def _named(items: Sequence[Value], at: int) -> _Named | None:
    item = items[at]
    if isinstance(item, Structure):
        return _by_descriptor(items, at) or _inside(item)
    if is_obis(item):
        return _flat(items, at, Descriptor(obis(item)), at + 1)
    if is_class(item):
        return _flat_descriptor(items, at)
    return None


def _by_descriptor(items: Sequence[Value], at: int) -> _Named | None:
    """{class, OBIS, attribute[, data index]}, then the value."""
    what = descriptor(items[at])
    if what is None or at + 1 >= len(items) or descriptor(items[at + 1]) is not None:
        return None
    return _flat(items, at, what, at + 1)


def _flat_descriptor(items: Sequence[Value], at: int) -> _Named | None:
    """Class, OBIS, attribute[, data index], value side by side. An attribute with a name behind it is in truth a value."""
    head = items[at : at + 3]
    if len(head) < 3 or not (is_class(head[0]) and is_obis(head[1]) and is_attribute(head[2])):
        return None
    what = Descriptor(obis(head[1]), int(head[0]), int(head[2]))
    after = at + 3
    if after >= len(items) or is_obis(items[after]) or scaler_unit(items[after]) is not None:
        return None
    indexed = after + 1 < len(items) and is_number(items[after]) and not _starts_name(items, after + 1)
    if indexed and scaler_unit(items[after + 1]) is None and not _is_unit_pair(items, after + 1):
        after += 1
    return _flat(items, at, what, after)


def _starts_name(items: Sequence[Value], at: int) -> bool:
    return is_obis(items[at]) or (is_class(items[at]) and at + 1 < len(items) and is_obis(items[at + 1]))


def _flat(items: Sequence[Value], start: int, what: Descriptor, at: int) -> _Named | None:
    """The value at `at` and the scaler and unit near it, for a name that starts at `start`."""
    if at >= len(items):
        return None
    value = items[at]
    if isinstance(value, Array) and holds_obis(value):
        return None
    unit = scaler_unit(value)
    if unit is not None and at + 1 < len(items) and not _starts_name(items, at + 1) and scaler_unit(items[at + 1]) is None:
        return _Named(what, items[at + 1], at + 2 - start, unit)
    if unit is None and at + 1 < len(items):
        unit = scaler_unit(items[at + 1])
        if unit is not None:
            return _Named(what, value, at + 2 - start, unit)
        if _is_unit_pair(items, at + 1):
            return _Named(what, value, at + 3 - start, (int(items[at + 1]), unit_symbol(int(items[at + 2]))))  # type: ignore[arg-type]  # _is_unit_pair says that both are numbers
    return _Named(what, value, at + 1 - start)


def _is_unit_pair(items: Sequence[Value], at: int) -> bool:
    """Scaler and unit side by side instead of in a structure."""
    return at + 1 < len(items) and isinstance(items[at + 1], Enum) and scaler_unit(Structure(items[at : at + 2])) is not None


def _inside(item: Structure) -> _Named | None:
    """{value, class, scaler-unit, OBIS}: the value first, its name last."""
    if len(item) not in (3, 4) or not is_obis(item[-1]) or is_obis(item[0]):
        return None
    unit = scaler_unit(item[-2])
    if unit is None or (len(item) == 4 and not is_class(item[1])):
        return None
    class_id = int(item[1]) if len(item) == 4 and is_class(item[1]) else None
    return _Named(Descriptor(obis(item[-1]), class_id), item[0], 1, unit)
