"""Alarm registers (0.0.97.98.0 to 9), their filters (10 to 19) and descriptors (20 to 29): bits of what is wrong now,
what may be told, and what was told and waits to be cleared (class 1; IDIS and DSMR use them alike).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.protocols.dlms.alarms import AlarmFact, alarm_fact
from connectors.protocols.dlms.answers import whole
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.cosem import MeterTime
from connectors.protocols.dlms.errors import PeerError
from connectors.protocols.dlms.get import Attribute, get, get_list
from connectors.protocols.dlms.objects.reading import like, number_of
from connectors.protocols.dlms.put import put
from connectors.protocols.dlms.template import AlarmTable

REGISTERS = tuple(f"0.0.97.98.{e}.255" for e in range(3))
_MOST_BITS = 256


@dataclass(frozen=True, slots=True)
class AlarmRegister:
    """One register, filter or descriptor. Bit 0 of `bits` is the least significant, of a bit-string the first."""

    obis: str
    bits: int

    def facts(self, tables: Mapping[str, AlarmTable], time: MeterTime | None = None) -> tuple[AlarmFact, ...]:
        """Every bit set, from the lowest, as the template's tables (`PushTemplate.alarms`) name it."""
        table = tables.get(self.obis) or AlarmTable(self.obis, {})
        set_bits = (bit for bit in range(min(self.bits.bit_length(), _MOST_BITS)) if self.bits >> bit & 1)
        return tuple(alarm_fact(table, bit, time, self.obis) for bit in set_bits)


@dataclass(frozen=True, slots=True)
class Cleared:
    """A register before and after it was cleared: what stands in `after` came up, or is still so."""

    before: AlarmRegister
    after: AlarmRegister


def filter_of(obis: str) -> str:
    """The OBIS of a register's filter. ValueError where `obis` is no alarm register."""
    groups = obis.split(".")
    if groups[:4] != ["0", "0", "97", "98"] or len(groups) != 6 or not groups[4].isdecimal() or int(groups[4]) > 9:
        raise ValueError(f"{obis!r} is no alarm register: 0.0.97.98.0.255 to 0.0.97.98.9.255 are")
    return f"0.0.97.98.{int(groups[4]) + 10}.255"


def read_alarm_register(link: Associated, obis: str) -> Session[AlarmRegister]:
    """One register, filter or descriptor."""
    return (yield from _read(link, obis))[0]


def read_alarm_registers(link: Associated, registers: Sequence[str] = REGISTERS) -> Session[tuple[AlarmRegister, ...]]:
    """Those of `registers` that the meter has and shows to this client; the first refusal where it shows none."""
    attributes = [Attribute(1, obis, 2) for obis in registers]
    answers = yield from get_list(link, attributes)
    refusals = [answer for answer in answers if isinstance(answer, PeerError)]
    if refusals and len(refusals) == len(answers):
        raise refusals[0]
    return tuple(
        AlarmRegister(attribute.obis, number_of(whole(answer, str(attribute)), str(attribute)))
        for attribute, answer in zip(attributes, answers, strict=True)
        if isinstance(answer, bytes)
    )


def clear_alarm_register(link: Associated, obis: str) -> Session[Cleared]:
    """Read a register or descriptor, write zero in the type that it has, read it again.

    What comes up between the first reading and the write is lost where its cause is over by then: so take alarms from pushes
    or from the log too.
    """
    before, octets = yield from _read(link, obis)
    attribute = Attribute(1, obis, 2)
    yield from put(link, attribute, like(octets, 0, str(attribute)))
    after = yield from read_alarm_register(link, obis)
    return Cleared(before, after)


def write_alarm_filter(link: Associated, obis: str, bits: int) -> Session[Cleared]:
    """Set a filter (`filter_of`): alarms whose bit is 0 are not told. The filter before and after; DecodeError
    "object-value" where the meter's type has no such bits.
    """
    before, octets = yield from _read(link, obis)
    attribute = Attribute(1, obis, 2)
    yield from put(link, attribute, like(octets, bits, str(attribute)))
    after = yield from read_alarm_register(link, obis)
    return Cleared(before, after)


def _read(link: Associated, obis: str) -> Session[tuple[AlarmRegister, bytes]]:
    attribute = Attribute(1, obis, 2)
    octets = yield from get(link, attribute)
    return AlarmRegister(obis, number_of(whole(octets, str(attribute)), str(attribute))), octets
