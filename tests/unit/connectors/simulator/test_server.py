"""gurux's own client reads a simulated meter over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from gurux_dlms import GXByteBuffer, GXDLMSClient, GXDLMSException, GXReplyData
from gurux_dlms.enums import Authentication, InterfaceType
from gurux_dlms.objects import (
    GXDLMSAssociationLogicalName,
    GXDLMSClock,
    GXDLMSData,
    GXDLMSDisconnectControl,
    GXDLMSProfileGeneric,
    GXDLMSRegister,
)

from connectors.simulator.config import DAY_MS, FleetConfig
from connectors.simulator.fleet import Fleet
from connectors.simulator.models import MODELS
from connectors.simulator.plan import MeterPlan
from connectors.simulator.truth import EXPORT, IMPORT, QUARTER_MS

NOW = 1_790_000_000_000  # 2026-09-21T14:13:20Z
DAY = NOW // DAY_MS * DAY_MS - DAY_MS
CONFIG = FleetConfig(Path("unused"), meters=60, unconfirmed_share=0.3)


@asynccontextmanager
async def a_fleet(home: Path, **changes: Any) -> AsyncIterator[Fleet]:
    fleet = Fleet(replace(CONFIG, home=home, **changes), now_ms=lambda: NOW)
    await fleet.start()
    try:
        yield fleet
    finally:
        await fleet.stop()


def meter_of(fleet: Fleet, model: str) -> MeterPlan:
    return next(plan for plan in fleet.plans if plan.model.model == model)


class Session:
    """A gurux client on a socket."""

    def __init__(self, fleet: Fleet, plan: MeterPlan, password: str | None = None, client: int = 1) -> None:
        low = client == 1
        self.client = GXDLMSClient(
            True, client, 1, Authentication.LOW if low else Authentication.NONE, password or plan.password if low else None,
            InterfaceType.WRAPPER,
        )  # fmt: skip
        self._port = fleet.ports[plan.index]
        self.answers = 0

    async def __aenter__(self) -> Session:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            self.client.parseAareResponse((await self.ask(self.client.aarqRequest())).data)
        except BaseException:
            self._writer.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.ask(self.client.releaseRequest())
        self._writer.close()
        await self._writer.wait_closed()

    async def ask(self, requests: Any) -> GXReplyData:
        reply = GXReplyData()
        for request in requests if isinstance(requests, list) else [requests]:
            outgoing = request[0] if isinstance(request, list) else request
            while True:
                self._writer.write(bytes(outgoing))
                header = await self._reader.readexactly(8)
                body = await self._reader.readexactly(int.from_bytes(header[6:8], "big"))
                self.answers += 1
                self.client.getData(GXByteBuffer(header + body), reply)
                if not reply.isMoreData():
                    break
                outgoing = self.client.receiverReady(reply)
        return reply

    async def read(self, target: Any, attribute: int) -> Any:
        reply = await self.ask(self.client.read(target, attribute))
        if reply.error:
            raise GXDLMSException(reply.error)
        return self.client.updateValue(target, attribute, reply.value)

    async def rows(self, start_ms: int, end_ms: int) -> list[Any]:
        profile = GXDLMSProfileGeneric("1.0.99.1.0.255")
        await self.read(profile, 3)
        window = [datetime.fromtimestamp(ms / 1000, UTC) for ms in (start_ms, end_ms)]
        reply = await self.ask(self.client.readRowsByRange(profile, *window))
        return list(self.client.updateValue(profile, 2, reply.value))


MODEL_NAMES = [model.model for model in MODELS if not model.udp]


@pytest.mark.parametrize("model", MODEL_NAMES)
async def test_a_day_by_range_equals_the_truth(tmp_path: Path, model: str) -> None:
    async with a_fleet(tmp_path) as fleet:
        plan = meter_of(fleet, model)
        async with Session(fleet, plan) as session:
            rows = await session.rows(DAY, DAY + DAY_MS - 1000)
    ends = range(DAY, DAY + DAY_MS, QUARTER_MS)
    assert len(rows) == 96
    assert [row[1:] for row in rows] == [
        [plan.load.status(end), plan.truth(IMPORT, end), plan.truth(EXPORT, end)] for end in ends
    ]
    if plan.model.deviation:
        assert [round(row[0].value.timestamp() * 1000) for row in rows] == list(ends)


async def test_a_small_pdu_makes_block_transfer(tmp_path: Path) -> None:
    async with a_fleet(tmp_path) as fleet, Session(fleet, meter_of(fleet, "AS300")) as session:
        rows = await session.rows(DAY, DAY + DAY_MS - 1000)
        assert session.client.maxReceivePDUSize == 256
    assert len(rows) == 96
    assert session.answers > 12


@pytest.mark.parametrize(
    ("start", "end", "count"),
    [
        (DAY, DAY, 1),
        (DAY + 1000, DAY + QUARTER_MS - 1000, 0),
        (DAY - 30 * DAY_MS, DAY - 20 * DAY_MS, 0),
        (DAY + DAY_MS, DAY + 30 * DAY_MS, 57),
        (DAY + DAY_MS, DAY, 0),
    ],
    ids=["one-row", "between-rows", "before-it-was-kept", "up-to-now", "backwards"],
)
async def test_range_edges(tmp_path: Path, start: int, end: int, count: int) -> None:
    async with a_fleet(tmp_path, drift_share=0) as fleet, Session(fleet, meter_of(fleet, "S212")) as session:
        assert len(await session.rows(start, end)) == count


async def test_by_entry_and_the_whole_buffer(tmp_path: Path) -> None:
    async with a_fleet(tmp_path, profile_days=2) as fleet, Session(fleet, meter_of(fleet, "AM550")) as session:
        profile = GXDLMSProfileGeneric("1.0.99.1.0.255")
        await session.read(profile, 3)
        everything = (await session.ask(session.client.read(profile, 2))).value
        some = (await session.ask(session.client.readRowsByEntry(profile, 3, 4))).value
        assert len(everything) == 192
        assert [list(row) for row in some] == [list(row) for row in everything[2:6]]


async def test_clock_identity_and_registers_with_their_scalers(tmp_path: Path) -> None:
    async with a_fleet(tmp_path) as fleet:
        for model in ("AM550", "E450", "S212", "AS300"):
            plan = meter_of(fleet, model)
            async with Session(fleet, plan) as session:
                clock = await session.read(GXDLMSClock(), 2)
                assert round(clock.value.timestamp() * 1000) == NOW + plan.drift_ms
                name = (await session.ask(session.client.read(GXDLMSData("0.0.42.0.0.255"), 2))).value
                assert bytes(name).decode() == plan.logical_device_name
                for obis in (IMPORT, EXPORT, "1.0.32.7.0.255"):
                    register = GXDLMSRegister(obis)
                    await session.read(register, 3)
                    raw = (await session.ask(session.client.read(GXDLMSRegister(obis), 2))).value
                    assert raw == plan.truth(obis, NOW)
                    assert register.scaler == pytest.approx(10 ** plan.scaler_unit(obis)[0])
                    assert int(register.unit) == plan.scaler_unit(obis)[1]


async def test_the_object_list_names_everything(tmp_path: Path) -> None:
    async with a_fleet(tmp_path) as fleet, Session(fleet, meter_of(fleet, "E450")) as session:
        reply = await session.ask(session.client.read(GXDLMSAssociationLogicalName("0.0.40.0.0.255"), 2))
        objects = {(int(row[0]), ".".join(map(str, row[2]))) for row in reply.value}
    assert {(8, "0.0.1.0.0.255"), (7, "1.0.99.1.0.255"), (3, IMPORT), (1, "0.0.96.10.2.255")} <= objects


@pytest.mark.parametrize(
    ("target", "attribute", "result"),
    [(GXDLMSRegister("1.0.9.8.0.255"), 2, 4), (GXDLMSRegister(IMPORT), 9, 3)],
    ids=["undefined-object", "undefined-attribute"],
)
async def test_what_a_meter_refuses(tmp_path: Path, target: Any, attribute: int, result: int) -> None:
    async with a_fleet(tmp_path) as fleet, Session(fleet, meter_of(fleet, "AM550")) as session:
        reply = await session.ask(session.client.read(target, attribute))
        assert reply.error == result


async def test_a_list_may_name_objects_that_are_not_there(tmp_path: Path) -> None:
    async with a_fleet(tmp_path) as fleet:
        plan = meter_of(fleet, "AM550")
        async with Session(fleet, plan) as session:
            wanted = [(GXDLMSRegister(obis), 2) for obis in (IMPORT, "1.0.9.8.0.255", EXPORT)]
            reply = await session.ask(session.client.readList(wanted))
            assert list(reply.value) == [plan.truth(IMPORT, NOW), None, plan.truth(EXPORT, NOW)]


async def test_a_wrong_password_is_refused_and_the_next_try_is_not(tmp_path: Path) -> None:
    async with a_fleet(tmp_path) as fleet:
        plan = meter_of(fleet, "AM550")
        with pytest.raises(GXDLMSException):
            async with Session(fleet, plan, password="00000000"):
                pass
        async with Session(fleet, plan) as session:
            assert session.answers == 1


async def test_an_open_meter_needs_no_password(tmp_path: Path) -> None:
    async with a_fleet(tmp_path) as fleet, Session(fleet, meter_of(fleet, "AS300"), client=16) as session:
        assert len(await session.rows(DAY, DAY + DAY_MS - 1000)) == 96


async def test_the_public_client_sees_who_it_is_and_no_more(tmp_path: Path) -> None:
    async with a_fleet(tmp_path) as fleet:
        plan = meter_of(fleet, "AM550")
        async with Session(fleet, plan, client=16) as session:
            name = (await session.ask(session.client.read(GXDLMSData("0.0.42.0.0.255"), 2))).value
            assert bytes(name).decode() == plan.logical_device_name
            assert (await session.ask(session.client.read(GXDLMSRegister(IMPORT), 2))).error == 3


@pytest.mark.parametrize(
    "bytes_sent",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x00\x01\x00\x01\x00\x01\xff\xff", b"\x00\x01\x00\x01\x00\x01\x00\x03\xc0\x01\xc1"],
    ids=["no-wrapper", "oversized", "get-without-association"],
)
async def test_a_connection_that_makes_no_sense_harms_nobody(tmp_path: Path, bytes_sent: bytes) -> None:
    async with a_fleet(tmp_path) as fleet:
        plan = meter_of(fleet, "AM550")
        reader, writer = await asyncio.open_connection("127.0.0.1", fleet.ports[plan.index])
        writer.write(bytes_sent)
        writer.write_eof()
        await reader.read()
        writer.close()
        async with Session(fleet, plan) as session:
            assert len(await session.rows(DAY, DAY)) == 1


async def test_two_clients_at_once_have_associations_of_their_own(tmp_path: Path) -> None:
    async with a_fleet(tmp_path) as fleet:
        plan = meter_of(fleet, "E450")
        async with Session(fleet, plan) as first, Session(fleet, plan, client=16) as second:
            assert (await second.ask(second.client.read(GXDLMSRegister(IMPORT), 2))).error == 3
            assert len(await first.rows(DAY, DAY + DAY_MS - 1000)) == 96


async def test_a_relay_moves_when_it_is_told_to_and_the_truth_has_it(tmp_path: Path) -> None:
    relay = GXDLMSDisconnectControl("0.0.96.3.10.255")
    async with a_fleet(tmp_path) as fleet:
        plan = next(plan for plan in fleet.plans if not plan.model.udp and not plan.model.open)
        async with Session(fleet, plan) as session:
            states = [await session.read(relay, 3)]
            for method in (relay.remoteDisconnect, relay.remoteDisconnect, relay.remoteReconnect):
                reply = await session.ask(method(session.client))
                assert reply.error == 0
                states.append(await session.read(relay, 3))
        async with Session(fleet, plan, client=16) as public:
            assert (await public.ask(relay.remoteDisconnect(public.client))).error != 0
    assert [int(state) for state in states] == [1, 0, 0, 1]
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    moves = [line["connected"] for line in lines if line["t"] == "relay" and line["meter"] == plan.id]
    assert moves == [False, True]
