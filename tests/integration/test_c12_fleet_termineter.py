"""The fleet's C12 meters over C12.18, read by termineter (PyPI, BSD): the tables of C12.22, to somebody else's client.

What termineter cannot do is listed in `test_c1218_termineter`.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from connectors.simulator.c12.layout import PROCEDURES, TABLES
from connectors.simulator.c12.meter_tables import MeterTables
from connectors.simulator.c12.psem_lines import PtyLine
from connectors.simulator.c12.psem_server import PsemServer, Settings
from connectors.simulator.config import FleetConfig
from connectors.simulator.plan import plan_fleet
from tests.integration.test_c1218_termineter import PASSWORD, logged_on, with_client

pytestmark = pytest.mark.integration

NOW_MS = 1_790_000_123_000


@pytest_asyncio.fixture
async def meter() -> AsyncIterator[tuple[MeterTables, PtyLine]]:
    """A meter whose times count minutes, on a pseudo-terminal."""
    plans = plan_fleet(FleetConfig(Path(), meters=8, c12_share=1.0, drift_share=0))
    plan, kind = next((plan, plan.model.c12) for plan in plans if plan.model.c12 and not plan.model.c12.seconds)
    tables = MeterTables(plan, kind, lambda: NOW_MS, 1)
    line = PtyLine(PsemServer(tables, Settings(password=PASSWORD)))
    yield tables, line
    line.close()


async def test_general_tables(meter: tuple[MeterTables, PtyLine]) -> None:
    tables, line = meter
    access = importlib.import_module("c1219.access.general")
    found = await with_client(line, logged_on(access.C1219GeneralAccess))
    assert (found.manufacturer, found.ed_model, found.mfg_serial_no) == ("LG", "FOCUS AX", tables.plan.serial)
    assert (found.nameplate_type, found.std_version_no, found.device_id) == ("Electric", 2, tables.plan.serial)
    assert found.std_tbls_used == [table for table in TABLES if table % 8 != 7]  # termineter reads seven bits of an octet
    assert found.std_proc_used == [procedure for procedure in PROCEDURES if procedure % 8 != 7]


async def test_procedures_and_the_log_of_them(meter: tuple[MeterTables, PtyLine]) -> None:
    tables, line = meter
    code, _ = await with_client(line, logged_on(lambda client: client.run_procedure(9, False, b"\x01")))
    assert (code, tables.state.resets) == (0, 1)
    code, _ = await with_client(line, logged_on(lambda client: client.run_procedure(21, False, b"\x64\x01")))
    assert (code, tables.state.level) == (0, 100)
    access = importlib.import_module("c1219.access.log")
    found = await with_client(line, logged_on(access.C1219LogAccess))
    happened = [(entry["History Sequence Number"], entry["Procedure Number"]) for entry in found.logs]
    assert happened[:4] == [(1, 20), (2, 9), (3, 49), (4, 9)]
