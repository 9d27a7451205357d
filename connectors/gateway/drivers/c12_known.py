"""What C12 meters have told of themselves, kept so that the next read of a meter begins at what changes.

Tables that say how others are made (0, limits, sources, units, selections) change when a meter is set up anew: they are
asked again when the meter has another template or firmware, when something does not fit them, and once a week. What a meter
notifies that was not read yet is read by the tables of the last one of its type, or by those that its template assumes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.tables.model import Model
from connectors.protocols.c12.tables.values import Record
from connectors.templates.c12_template import C12Template
from schemas.records import Meter

LASTING = frozenset((0, 11, 12, 13, 14, 15, 16, 21, 22, 27, 51, 53, 54, 61, 62, 71, 111))
"""Tables that are kept."""
CLOCKS = (52, 55)
"""Of these, what the clock keeps; not what it shows."""

_LOGS = 71
_A_WEEK = 7 * 86_400_000
_MOST_METERS = 50_000
_Type = tuple[str, str, str, str]


class Known:
    """Models by meter; those of a type share the tables that they have in common."""

    def __init__(self) -> None:
        self._models: dict[str, tuple[_Type, int, Model]] = {}
        self._types: dict[_Type, Model] = {}

    def model(self, meter: Meter, now_ms: int) -> Model | None:
        """A meter's own model, where it is known."""
        kind, until, model = self._models.get(meter.id, (None, 0, None))
        return model if kind == _type_of(meter) and now_ms < until else None

    def keep(self, meter: Meter, model: Model, now_ms: int) -> None:
        """Remember what lasts of a model."""
        lasting = {number: fields for number, fields in model.known.items() if number in LASTING}
        lasting |= {number: _kept(model.known[number]) for number in CLOCKS if number in model.known}
        kind, before = _type_of(meter), self._models.get(meter.id)
        until = now_ms + _A_WEEK
        if before is not None and before[0] == kind and now_ms < before[1]:
            until, known = before[1], before[2].known
            alike = (known[number] is fields or (number in CLOCKS and known[number] == fields)
                     for number, fields in lasting.items() if number in known)  # fmt: skip
            if known.keys() == lasting.keys() and all(alike):
                return
        other = self._types.get(kind)
        kept = _shared(other, replace(model, known=MappingProxyType(lasting)))
        # For notifications, of which logs need little: what others of the type told holds until one says otherwise.
        self._types[kind] = kept if other is None else replace(kept, known=MappingProxyType({**other.known, **kept.known}))
        if len(self._models) >= _MOST_METERS:
            self._models.clear()
        self._models[meter.id] = kind, until, kept

    def forget(self, meter: Meter) -> None:
        """Drop a model that does not hold any more."""
        self._models.pop(meter.id, None)

    def best(self, meter: Meter, template: C12Template, now_ms: int) -> Model | None:
        """What a meter's notification is read by: its own model, its type's, or what the template assumes; the first that
        knows how logs are made.
        """
        models = (self.model(meter, now_ms), self._types.get(_type_of(meter)), _assumed(template.assumed, template))
        known = [model for model in models if model is not None]
        return next((model for model in known if model.has(_LOGS)), known[0] if known else None)


def _assumed(tables: Mapping[int, bytes], template: C12Template) -> Model | None:
    if 0 not in tables:
        return None
    try:
        model = Model.of(tables[0], template.catalog)
        for number in sorted(set(tables) - {0}):
            model = model.with_octets(number, tables[number])
    except C12Error:
        return None  # the loader's tests hold templates that ship to this; of others the dead letter tells
    return model


def _kept(clock: Record) -> Record:
    qualifier = clock.record("TIME_DATE_QUAL")
    return Record({"TIME_DATE_QUAL": qualifier.changed(DAY_OF_WEEK=0, DST_FLAG=False)})


def _shared(other: Model | None, model: Model) -> Model:
    """A model with the very tables of another, as far as both say the same: most meters of a type do."""
    if other is None or other.config.record != model.config.record:
        return model
    known = {
        number: other.known[number] if other.known.get(number) == fields else fields
        for number, fields in model.known.items()
    }
    return replace(model, config=other.config, known=MappingProxyType(known))


def _type_of(meter: Meter) -> _Type:
    return meter.template, meter.vendor, meter.model, meter.firmware
