"""Alarm registers and filters, read, cleared and set, at gurux' server."""

from __future__ import annotations

import pytest
from gurux_dlms.enums import DataType

from connectors.protocols.dlms.association import PROPOSED, Associated
from connectors.protocols.dlms.errors import DecodeError, PeerError
from connectors.protocols.dlms.objects.alarm_registers import (
    AlarmRegister,
    clear_alarm_register,
    filter_of,
    read_alarm_register,
    read_alarm_registers,
    write_alarm_filter,
)
from connectors.templates.loader import load_templates
from tests.unit.connectors.protocols.dlms.gurux_meter import data, drive
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import ObjectMeter

ONE, TWO, FILTER = "0.0.97.98.0.255", "0.0.97.98.1.255", "0.0.97.98.10.255"


def meter() -> ObjectMeter:
    registers = [data(ONE, 0x2003, DataType.UINT32), data(TWO, 1, DataType.UINT32), data(FILTER, 0, DataType.UINT32)]
    return ObjectMeter(registers)


def test_bits_are_named_by_the_template() -> None:
    peer = meter()
    found = drive(read_alarm_registers(peer.link()), peer.exchange)
    assert found == (AlarmRegister(ONE, 0x2003), AlarmRegister(TWO, 1))
    facts = found[0].facts(load_templates()["idis"].push.alarms)
    assert [(fact.kind, fact.code, fact.detail) for fact in facts] == [
        ("CLOCK", "0", "clock invalid"),
        ("DEVICE", "1", "replace battery"),
        ("TAMPER_OTHER", "13", "fraud attempt"),
    ]
    assert [fact.kind for fact in found[1].facts({})] == ["UNKNOWN"]


def test_clear() -> None:
    peer = meter()
    done = drive(clear_alarm_register(peer.link(), ONE), peer.exchange)
    assert (done.before.bits, done.after.bits) == (0x2003, 0)
    written = [request for request in peer.requests if request[0] == 0xC1]
    assert [request[-5:].hex() for request in written] == ["0600000000"]


def test_filter() -> None:
    peer = meter()
    done = drive(write_alarm_filter(peer.link(), filter_of(ONE), 0xFFFF0001), peer.exchange)
    assert (done.before, done.after) == (AlarmRegister(FILTER, 0), AlarmRegister(FILTER, 0xFFFF0001))
    with pytest.raises(DecodeError, match="does not fit") as raised:
        drive(write_alarm_filter(peer.link(), FILTER, 1 << 32), peer.exchange)
    assert raised.value.code == "object-value"


def test_a_meter_without_any() -> None:
    peer = ObjectMeter([data("0.0.96.1.0.255", b"1", DataType.OCTET_STRING)])
    with pytest.raises(PeerError, match="object-undefined"):
        drive(read_alarm_registers(peer.link()), peer.exchange)


def test_a_register_in_bits() -> None:
    answers = ["C4 01 C1 00 04 0A A0 40", "C5 01 C2 00", "C4 01 C3 00 04 0A 00 00"]
    asked: list[str] = []

    def exchange(apdu: bytes) -> bytes:
        asked.append(apdu.hex(" ").upper())
        return bytes.fromhex(answers.pop(0))

    done = drive(clear_alarm_register(Associated(PROPOSED, 0), ONE), exchange)
    assert (done.before.bits, done.after.bits) == (0b10_0000_0101, 0)
    assert asked[1].endswith("04 0A 00 00")


def test_a_denied_write_is_refused_by_name() -> None:
    peer = ObjectMeter([data(ONE, 1, DataType.UINT32)], modes={ONE: 1})
    with pytest.raises(PeerError, match="read-write-denied"):
        drive(clear_alarm_register(peer.link(), ONE), peer.exchange)
    assert drive(read_alarm_register(peer.link(), ONE), peer.exchange).bits == 1


@pytest.mark.parametrize("obis", ["0.0.97.98.10.255", "0.0.97.97.0.255", "0.0.97.98"])
def test_no_alarm_register(obis: str) -> None:
    with pytest.raises(ValueError, match="no alarm register"):
        filter_of(obis)
