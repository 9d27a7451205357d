"""What DLMS meters have told of themselves, kept so that the next read of a meter takes one request."""

from __future__ import annotations

from enum import Enum

from connectors.protocols.dlms.client import ScalerUnit
from connectors.protocols.dlms.get import Attribute
from connectors.protocols.dlms.objects.object_list import ObjectList
from connectors.protocols.dlms.profile_shape import ProfileShape
from connectors.protocols.dlms.short_names import ShortNames
from schemas.records import Meter

_A_WEEK = 7 * 86_400_000
_MOST_SHAPES, _MOST_NAMES, _MOST_LISTS = 200_000, 2_000, 500
_Type = tuple[str, str, str, str]
"""Template, vendor, model, firmware."""
_NO_TYPE = ("", "", "", "")


class Listless(Enum):
    """How it is known that a meter does not answer requests with list: see `dlms_lists`."""

    SILENT = "silent"
    """It was silent at one, once: they are sent all the same."""
    SUSPECTED = "suspected"
    """The link ended in one."""
    CONFIRMED = "confirmed"
    """And not when attributes were read one by one."""
    PROVED = "proved"
    """It said so, or answered otherwise than alone."""


class Shapes:
    """Profile shapes and scaler-units by meter; names and object lists by type and firmware.

    The former are kept by meter, not by type: scalers follow from the transformers that a meter is set up for. All are asked
    again when the meter has another template or firmware, and once a week, since a meter may be set up anew.
    """

    def __init__(self) -> None:
        self._profiles: dict[tuple[str, str], tuple[_Type, int, ProfileShape]] = {}
        self._units: dict[str, tuple[_Type, int, dict[Attribute, ScalerUnit]]] = {}
        self._same: dict[ProfileShape, ProfileShape] = {}
        self._names: dict[_Type | str, tuple[int, ShortNames]] = {}
        self._objects: dict[_Type | str, tuple[int, ObjectList]] = {}
        self._listless: dict[_Type | str, tuple[int, Listless]] = {}

    def profile(self, meter: Meter, obis: str, now_ms: int) -> ProfileShape | None:
        """The shape of a profile, where it is known."""
        kind, until, shape = self._profiles.get((meter.id, obis), (_NO_TYPE, 0, None))
        return shape if kind == _type_of(meter) and now_ms < until else None

    def keep(self, meter: Meter, shape: ProfileShape, now_ms: int) -> None:
        """Remember a shape; meters of a type share one object."""
        if len(self._profiles) >= _MOST_SHAPES:
            self._profiles.clear()
            self._same.clear()
        shared = self._same.setdefault(shape, shape)
        self._profiles[meter.id, shape.obis] = _type_of(meter), now_ms + _A_WEEK, shared

    def forget(self, meter: Meter, obis: str) -> None:
        """Drop a shape that does not hold any more."""
        self._profiles.pop((meter.id, obis), None)

    def renew(self, meter: Meter) -> None:
        """Drop everything that is known of a meter: it has another firmware, whether the registry says so or not."""
        for known in [known for known in self._profiles if known[0] == meter.id]:
            del self._profiles[known]
        self._units.pop(meter.id, None)
        self._names.pop(_named_by(meter), None)
        self._objects.pop(_named_by(meter), None)
        self._listless.pop(_named_by(meter), None)
        self.forget_listless(meter)

    def units(self, meter: Meter, now_ms: int) -> dict[Attribute, ScalerUnit]:
        """A meter's scaler-units by value attribute, to be read and added to."""
        kind, until, units = self._units.get(meter.id, (_NO_TYPE, 0, {}))
        if kind == _type_of(meter) and now_ms < until:
            return units
        if len(self._units) >= _MOST_SHAPES:
            self._units.clear()
        units = {}
        self._units[meter.id] = _type_of(meter), now_ms + _A_WEEK, units
        return units

    def names(self, meter: Meter, now_ms: int) -> ShortNames | None:
        """The base names of a meter's type, where they are known: they change with its firmware only."""
        until, names = self._names.get(_named_by(meter), (0, None))
        return names if now_ms < until else None

    def keep_names(self, meter: Meter, names: ShortNames, now_ms: int) -> None:
        """Remember base names."""
        if len(self._names) >= _MOST_NAMES:
            self._names.clear()
        self._names[_named_by(meter)] = now_ms + _A_WEEK, names

    def objects(self, meter: Meter, now_ms: int) -> ObjectList | None:
        """What meters of a type and firmware have, where it is known."""
        until, objects = self._objects.get(_named_by(meter), (0, None))
        return objects if now_ms < until else None

    def keep_objects(self, meter: Meter, objects: ObjectList, now_ms: int) -> None:
        """Remember an object list."""
        if len(self._objects) >= _MOST_LISTS:
            self._objects.clear()
        self._objects[_named_by(meter)] = now_ms + _A_WEEK, objects

    def listless(self, meter: Meter, now_ms: int) -> Listless | None:
        """What speaks against sending a meter requests with list; None where nothing does."""
        if not self._listless:
            return None
        for known in (meter.id, _named_by(meter)):
            until, how = self._listless.get(known, (0, None))
            if now_ms < until:
                return how
        return None

    def keep_listless(self, meter: Meter, how: Listless, now_ms: int) -> None:
        """Remember that a meter answers no lists: of its type and firmware where it said so."""
        if len(self._listless) >= _MOST_SHAPES:
            self._listless.clear()
        self._listless[_named_by(meter) if how is Listless.PROVED else meter.id] = now_ms + _A_WEEK, how

    def forget_listless(self, meter: Meter) -> None:
        """Drop what was suspected of a meter itself."""
        self._listless.pop(meter.id, None)


def _named_by(meter: Meter) -> _Type | str:
    """The type where the registry knows it for sure, else the meter."""
    return _type_of(meter) if meter.vendor and meter.model and meter.firmware else meter.id


def _type_of(meter: Meter) -> _Type:
    return meter.template, meter.vendor, meter.model, meter.firmware
