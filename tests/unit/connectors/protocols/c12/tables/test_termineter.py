"""Tables and procedure requests as termineter's c1219 reads and writes them; skipped where it is not installed."""

from __future__ import annotations

import importlib
from random import Random
from typing import Any

import pytest

from connectors.protocols.c12.tables.clock import Clock, Keeps
from connectors.protocols.c12.tables.events import log
from connectors.protocols.c12.tables.model import Model, decode_table
from connectors.protocols.c12.tables.procedures import initiate
from connectors.protocols.c12.tables.times import datetime_of
from tests.unit.connectors.protocols.c12.tables.meters import Order, ltime, number, table0

pytest.importorskip("c1219", reason="termineter is not installed")

ORDERS: tuple[Order, ...] = ("little", "big")
NOON = 1_731_326_400


class Connection:
    """What termineter's classes read tables from."""

    def __init__(self, order: Order, tables: dict[int, bytes], tm: int = 2) -> None:
        self.c1219_endian = "<" if order == "little" else ">"
        self.caching_enabled = False
        self._tables = {0: table0(order, tm=tm), **tables}

    def get_table_data(self, table: int, *_: int) -> bytes:
        return self._tables[table]


def theirs(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"c1219.{module}"), name)


@pytest.mark.parametrize("order", ORDERS)
def test_configuration_and_identification(order: Order) -> None:
    head = table0(
        order, tables=(0, 1, 3, 5, 11, 16, 22, 61, 64), manufacturer=(0, 9), procedures=(0, 5, 10, 21), own_procedures=(3,)
    )
    tables = {
        0: head,
        1: b"ABCD" + b"MODEL 1 " + bytes((1, 2, 3, 4)) + b"   SERIAL-000042",
        3: b"\x03" + number(0x1041, 2, order) + b"\0\x81",
        5: b"METER 42            ",
    }
    peer = theirs("access.general", "C1219GeneralAccess")(Connection(order, tables))
    model = Model.of(head)
    ours = {table: decode_table(table, tables[table], model).value for table in (1, 3, 5)}
    config = model.config
    # termineter looks at seven of the eight bits of each octet, so tables 7, 15 … are not there for it
    assert sorted(peer.std_tbls_used) == sorted(n for n in config.tables if n < 2048 and n % 8 != 7)
    assert sorted(peer.mfg_tbls_used) == sorted(n - 2048 for n in config.tables if n >= 2048)
    assert sorted(peer.std_proc_used) == sorted(n for n in config.procedures if n < 2048)
    assert sorted(peer.mfg_proc_used) == sorted(n - 2048 for n in config.procedures if n >= 2048)
    assert (peer.manufacturer, peer.ed_model) == (ours[1].text("MANUFACTURER"), ours[1].text("ED_MODEL"))
    assert peer.mfg_serial_no == ours[1].text("MFG_SERIAL_NUMBER")
    assert (peer.fw_version_no, peer.fw_revision_no) == (3, 4)
    assert ours[1].integer("FW_REVISION_NUMBER") == 4
    assert peer.device_id == ours[5].text("IDENTIFICATION")
    assert (bool(peer.std_status & 1 << 12), bool(peer.std_status & 1 << 6)) == (True, True)
    assert (ours[3].flag("TAMPER_DETECT_FLAG"), ours[3].flag("CLOCK_ERROR_FLAG")) == (True, True)


@pytest.mark.parametrize("tm", [2, 3, 4])
@pytest.mark.parametrize("order", ORDERS)
def test_history(order: Order, tm: int) -> None:
    chance = Random(f"{order} {tm}")  # noqa: S311 - octets for a test
    entries = [(NOON + 60 * at, at, chance.randrange(1 << 16), chance.randrange(77), chance.randbytes(3)) for at in range(5)]
    limits = bytes((7, 10, 2, 3, 4)) + number(5, 2, order) + number(0, 2, order)
    data = b"\0" + number(5, 2, order) + number(4, 2, order) + number(9, 4, order) + number(0, 2, order)
    for at, sequence, user, code, argument in entries:
        data += (
            ltime(at, tm, order)
            + number(sequence, 2, order) * 2
            + number(user, 2, order)
            + number(code, 2, order)
            + argument
        )
    model = Model.of(table0(order, tm=tm)).with_octets(71, limits)
    ours = log(model, 74, decode_table(74, data, model).value, Clock(keeps=Keeps.UTC))
    record, size = theirs("data", "get_history_entry_record"), (len(data) - 11) // 5
    for at, event in enumerate(ours.events):
        peer = record("<" if order == "little" else ">", True, tm, True, True, data[11 + at * size : 11 + (at + 1) * size])
        assert event.at is not None
        when = datetime_of(event.at // 1000)
        assert peer["Time"].split()[-1].split(":") == [str(part) for part in (when.hour, when.minute, when.second)]
        assert (peer["Event Number"], peer["History Sequence Number"]) == (event.event_number, event.sequence)
        assert (peer["User ID"], peer["Procedure Number"], peer["Arguments"]) == (event.user, event.code, event.argument)


@pytest.mark.parametrize(("procedure", "selector"), [(0, 0), (10, 3), (2060, 2)])
@pytest.mark.parametrize("order", ORDERS)
def test_procedure_requests(order: Order, procedure: int, selector: int) -> None:
    build = theirs("data", "C1219ProcedureInit")
    peer = build("<" if order == "little" else ">", procedure % 2048, procedure >= 2048, selector, 77, b"\1\2").build()
    assert initiate(Model.of(table0(order)), procedure, b"\1\2", 77, selector) == peer


def test_names_of_events_and_procedures() -> None:
    """The same codes and numbers, in words that agree where they are not names."""
    model = Model.of(table0())
    events, procedures = theirs("constants", "C1219_EVENT_CODES"), theirs("constants", "C1219_PROCEDURE_NAMES")
    assert set(events) == {code for code in model.catalog.events if code < 2048}
    assert set(model.catalog.procedures) <= set(procedures)
    for code in (1, 2, 20, 32, 36, 39, 44, 45, 47, 48, 56, 57):
        words = set(events[code].lower().split())
        assert words & set(model.catalog.events[code].name.lower().split())
