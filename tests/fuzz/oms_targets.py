"""Targets of outages: alarms read from their octets, against the codec; and a journal that says anything at all."""

from __future__ import annotations

from functools import cache

from connectors.oms.alarms import AlarmReader, Heard
from connectors.oms.core import Core
from connectors.oms.grid import Grid
from schemas.codec import Codec, CodecError
from schemas.records import Alarm, OutageJournal
from schemas.registry import MemoryRegistry
from streams.runtime.settings import Oms
from tests.fuzz.harness import MAX_INPUT, Target, expect

_CODEC = Codec(MemoryRegistry())
_NOW = 1_790_000_000_000


@cache
def _reader() -> AlarmReader:
    return AlarmReader(_CODEC)


@cache
def _header(record: type[Alarm | OutageJournal]) -> bytes:
    return b"\0" + _CODEC.id_of(record).to_bytes(4)


def run_alarm(data: bytes) -> None:
    """Both ways make the same of an alarm, or neither makes anything."""
    value = _header(Alarm) + data[:MAX_INPUT]
    found: Heard | str
    expected: Heard | str
    try:
        read = _reader().read(value)
        found = Heard(*(getattr(read, name) for name in Heard._fields))
    except CodecError as error:
        found = error.code
    if found == "alarm-names":
        return
    try:
        alarm = _CODEC.decode(value)
        expected = Heard(*(getattr(alarm, name) for name in Heard._fields))
    except CodecError as error:
        expected = error.code
    expect(found == expected, "both ways read the same")


def run_journal(data: bytes) -> None:
    """What an entry says is taken over, or it is named; what is remembered then is whole."""
    try:
        record = _CODEC.decode(_header(OutageJournal) + data[:MAX_INPUT])
    except CodecError:
        return
    assert isinstance(record, OutageJournal)
    core = Core(Oms(), Grid())
    wrong = core.restore([record])
    expect(wrong in ([], [f"journal/{record.sequence}"]), "the entry itself is named")
    core.tick(_NOW)


TARGETS = (Target("oms_alarm", run_alarm, 2), Target("oms_journal", run_journal, 2))
