"""What a layout has found in a push body so far."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.protocols.dlms.axdr import Array, Structure, Value
from connectors.protocols.dlms.cosem import MeterTime, try_datetime
from connectors.protocols.dlms.names import PROFILE, PUSH_SETUP, Descriptor, is_time, object_list, scaler_unit
from connectors.protocols.dlms.telegram import PushedProfile, Scalar, TelegramValue, octets_of, scalar
from connectors.protocols.dlms.template import Position, PushTemplate

_SCALER_UNIT_AT = {3: 3, 4: 3, 5: 4}
"""Class (register, extended register, demand register) to the attribute that holds scaler and unit."""


class Found:
    """Values collected in order. `layout` may be refined and `source` set by who reads."""

    def __init__(self, layout: str, template: PushTemplate) -> None:
        self.layout = layout
        self.template = template
        self.source: str | None = None
        self.list_id: str | None = None
        self.time: MeterTime | None = None
        self.values: list[TelegramValue] = []
        self.unnamed: list[Value] = []
        self.unknown: list[Value] = []
        """At places that a list or a template leaves without a name."""
        self.profiles: list[PushedProfile] = []

    def add(
        self,
        named: Descriptor,
        value: Value,
        unit: tuple[int | None, str | None] | None = None,
        time: MeterTime | None = None,
    ) -> None:
        """One value under its name. An object's own name (attribute 1) says where the push comes from, and is no value."""
        if named.attribute == 1:
            if named.class_id == PUSH_SETUP:
                self.source = named.text
            return
        reverse = self.template.deviation_reversed
        if time is None and isinstance(value, bytes) and len(value) == 12:
            time = try_datetime(value, deviation_reversed=reverse)
        scaler, symbol = unit or self.template.units.get(named.obis) or (None, None)
        raw = scalar(value, deviation_reversed=reverse)
        octets = octets_of(value)
        self.values.append(TelegramValue(named.obis, raw, named.attribute, named.class_id, scaler, symbol, octets, time))
        if self.list_id is None and isinstance(raw, str) and named.obis.endswith(".0.2.129.255"):
            self.list_id = raw

    def objects(self, named: Sequence[Descriptor], values: Sequence[Value]) -> None:
        """Objects and their values, of equal number. Scaler-units and capture objects go to the values they belong to."""
        units: dict[str, tuple[int, str]] = {}
        captured: dict[str, Sequence[Descriptor]] = {}
        values_of: list[tuple[Descriptor, Value]] = []
        for d, value in zip(named, values, strict=True):
            unit = scaler_unit(value) if _SCALER_UNIT_AT.get(d.class_id or 0) == d.attribute else None
            columns = object_list(value) if (d.class_id, d.attribute) == (PROFILE, 3) else None
            if unit:
                units[d.obis] = unit
            elif columns:
                captured[d.obis] = columns
            elif d.class_id == PUSH_SETUP and d.attribute != 1:
                self.source = self.source or d.text
            else:
                values_of.append((d, value))
        for d, value in values_of:
            if (d.class_id, d.attribute) != (PROFILE, 2) or not self._profile(d.obis, value, captured.get(d.obis, ())):
                self.add(d, value, units.get(d.obis) if d.attribute == 2 else None)

    def positions(self, positions: Sequence[Position], values: Sequence[Value]) -> None:
        """Values at the places that a list or a template names."""
        for position, value in zip(positions, values, strict=True):
            if not position.obis:
                self.unknown.append(value)
                continue
            named = Descriptor(position.obis, position.class_id, position.attribute)
            if position.class_id == PROFILE and position.attribute == 2 and self._profile(position.obis, value, ()):
                continue
            given = position.scaler is not None or position.unit is not None
            self.add(named, value, (position.scaler, position.unit) if given else None)

    def leftovers(self) -> tuple[Scalar, ...]:
        """What has no name, once the list identifier, the body's own time and what the template names are taken out."""
        rest = [item for item in self.unnamed if item is not None]
        if rest and isinstance(rest[0], str) and self.list_id is None:
            self.list_id = str(scalar(rest.pop(0)))
        if rest and is_time(rest[0]):
            time = try_datetime(bytes(rest[0]), deviation_reversed=self.template.deviation_reversed)
            if self.time is None or self.time == time:
                self.time = time
                rest.pop(0)
        named = {at % len(rest): name for at, name in self.template.unnamed.items() if rest and -len(rest) <= at < len(rest)}
        for at, name in sorted(named.items()):
            self.add(Descriptor(name), rest[at])
        kept = [item for at, item in enumerate(rest) if at not in named] + self.unknown
        return tuple(scalar(item, deviation_reversed=self.template.deviation_reversed) for item in kept)

    def _profile(self, code: str, value: Value, captured: Sequence[Descriptor]) -> bool:
        """Rows of a buffer whose columns the telegram or the template names. False where none does, or rows differ."""
        columns = tuple(TelegramValue(d.obis, None, d.attribute, d.class_id) for d in captured) or tuple(
            TelegramValue(p.obis, None, p.attribute, p.class_id, p.scaler, p.unit)
            for p in self.template.profiles.get(code, ())
        )
        if not columns or not isinstance(value, Array):
            return False
        rows = [row for row in value if isinstance(row, Structure) and len(row) == len(columns)]
        if len(rows) != len(value):
            return False
        reverse = self.template.deviation_reversed
        clock = next((i for i, column in enumerate(columns) if column.class_id == 8), None)
        self.profiles.append(
            PushedProfile(
                code,
                columns,
                tuple(tuple(scalar(item, deviation_reversed=reverse) for item in row) for row in rows),
                tuple(_time(row[clock], reverse) if clock is not None else None for row in rows),
            )
        )
        return True


def _time(value: Value, reverse: bool) -> MeterTime | None:
    return try_datetime(value, deviation_reversed=reverse) if isinstance(value, bytes) and len(value) == 12 else None
