"""What a telegram says that somebody should know now: bits of alarm registers and codes of event objects, as a template
names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from connectors.protocols.dlms.cosem import MeterTime
from connectors.protocols.dlms.telegram import Scalar, Telegram
from connectors.protocols.dlms.template import AlarmSpec, AlarmTable, PushTemplate

_MAX_BITS = 256


@dataclass(frozen=True, slots=True)
class AlarmFact:
    """One alarm. `kind` and `severity` are names of the records' enums."""

    kind: str
    severity: str
    code: str
    """The bit or the code, in `code_table`."""
    code_table: str
    event_type: str
    """IEC 61968-9 end device event type, empty where the template gives none."""
    time: MeterTime | None
    detail: str
    obis: str


def alarms_of(telegram: Telegram, template: PushTemplate) -> list[AlarmFact]:
    """Every alarm in the telegram, in the order of its values, bits from the lowest.

    A bit or code that the table lacks is an alarm of kind UNKNOWN: the meter thought it worth saying. An event-notification
    of an object that the template does not know is one, too.
    """
    facts: list[AlarmFact] = []
    for value in telegram.values:
        time = value.time or telegram.clock
        if register := template.alarms.get(value.obis):
            facts += [alarm_fact(register, bit, time, value.obis) for bit in _bits(value.raw)]
        elif (events := template.events.get(value.obis)) and (code := _code(value.raw)) is not None:
            facts.append(alarm_fact(events, code, time, value.obis))
    if not facts and telegram.apdu == "event-notification":
        value = telegram.values[0]
        known = template.alarms.get(value.obis) or template.events.get(value.obis)
        if known is None:
            detail = f"event-notification of {telegram.source}, which no template names"
            facts.append(AlarmFact("UNKNOWN", "WARNING", str(value.raw), value.obis, "", telegram.clock, detail, value.obis))
    return facts


def alarm_fact(table: AlarmTable, code: int, time: MeterTime | None, obis: str) -> AlarmFact:
    """One bit or code of `obis`; kind UNKNOWN where the table lacks it."""
    spec = table.entries.get(code) or AlarmSpec("UNKNOWN", "WARNING", detail=f"{code} is not in {table.name}")
    return AlarmFact(spec.kind, spec.severity, str(code), table.name, spec.event_type, time, spec.detail, obis)


def _bits(raw: Scalar) -> Iterator[int]:
    """The bits set: of a number from the least significant, of a bit-string from its first."""
    if isinstance(raw, str):
        yield from (at for at, bit in enumerate(raw[:_MAX_BITS]) if bit == "1" and set(raw) <= {"0", "1"})
    elif isinstance(raw, int) and raw > 0:
        yield from (bit for bit in range(min(raw.bit_length(), _MAX_BITS)) if raw >> bit & 1)


def _code(raw: Scalar) -> int | None:
    return raw if isinstance(raw, int) and not isinstance(raw, bool) else None
