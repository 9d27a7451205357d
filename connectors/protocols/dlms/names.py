"""Telling names from values in a push body: OBIS codes, attribute descriptors, scaler-units, object definitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

from connectors.protocols.dlms.axdr import Array, Enum, Structure, Value
from connectors.protocols.dlms.cosem import UNITS, obis, try_datetime, unit_symbol

PUSH_SETUP = 40
PROFILE = 7
_MAX_GROUP_A = 15
_MAX_SCALER = 18


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What is named: class where given, OBIS, attribute."""

    obis: str
    class_id: int | None = None
    attribute: int = 2

    @property
    def text(self) -> str:
        """class/OBIS/attribute."""
        return f"{self.class_id}/{self.obis}/{self.attribute}"


def is_number(value: Value) -> TypeGuard[int]:
    """An integer that is neither an enum nor a boolean."""
    return isinstance(value, int) and not isinstance(value, (bool, Enum))


def is_obis(value: Value) -> TypeGuard[bytes]:
    """Six octets that can be an OBIS code: value group A knows no medium above 15."""
    return isinstance(value, bytes) and len(value) == 6 and value[0] <= _MAX_GROUP_A and any(value)


def is_push_setup(value: Value) -> TypeGuard[bytes]:
    """The name of a push setup, 0.b.25.9.e.f."""
    return is_obis(value) and value[0] == 0 and value[2] == 25 and value[3] == 9


def is_time(value: Value) -> TypeGuard[bytes]:
    """Twelve octets that are a date-time."""
    return isinstance(value, bytes) and len(value) == 12 and try_datetime(value) is not None


def is_class(value: Value) -> TypeGuard[int]:
    """A number that can be a class id."""
    return is_number(value) and 0 < value < 0x4000


def is_attribute(value: Value) -> TypeGuard[int]:
    """A number that can be an attribute index; 0 means all."""
    return is_number(value) and 0 <= value < 128


def scaler_unit(value: Value) -> tuple[int, str] | None:
    """A scaler-unit structure as (scaler, symbol), in either order; None where the value is no such thing."""
    if not isinstance(value, Structure) or len(value) != 2:
        return None
    scaler, unit = value
    if isinstance(scaler, Enum):
        scaler, unit = unit, scaler
    if not is_number(scaler) or abs(scaler) > _MAX_SCALER:
        return None
    if isinstance(unit, Enum) or (is_number(unit) and unit in UNITS):
        return int(scaler), unit_symbol(int(unit))
    return None


def descriptor(value: Value) -> Descriptor | None:
    """A structure {class, OBIS, attribute[, data index]} as a descriptor."""
    if not isinstance(value, Structure) or len(value) not in (3, 4):
        return None
    return object_definition(value)


def object_definition(value: Value) -> Descriptor | None:
    """An entry of a push object list or of capture objects: {class, OBIS, attribute[, data index[, restriction …]]}."""
    if not isinstance(value, Structure) or not 3 <= len(value) <= 8:
        return None
    class_id, name, attribute = value[:3]
    if not (is_class(class_id) and is_obis(name) and is_attribute(attribute)):
        return None
    if len(value) > 3 and not is_number(value[3]):
        return None
    return Descriptor(obis(name), int(class_id), int(attribute))


def object_list(value: Value) -> tuple[Descriptor, ...] | None:
    """An array of object definitions; None where the value is no such thing."""
    if not isinstance(value, (Array, Structure)) or not value:
        return None
    found = []
    for item in value:
        named = object_definition(item)
        if named is None:
            return None
        found.append(named)
    return tuple(found)


def holds_obis(value: Value) -> bool:
    """Whether an OBIS code lies anywhere in a structure or array."""
    if isinstance(value, (Array, Structure)):
        return any(is_obis(item) or holds_obis(item) for item in value)
    return False
