"""Simulated C12.22 meters on sockets: what they measure is what is read, commands show, forgeries and replays are refused,
and everything they say is understood by Wireshark.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from connectors.protocols.c12 import acse
from connectors.protocols.c12.c1222_framing import ApduStream, Framed
from connectors.protocols.c12.c1222_messages import answer, message_of
from connectors.protocols.c12.c1222_security import Seal, open_
from connectors.protocols.c12.c1222_services import Register, Registered, Request, Response
from connectors.protocols.c12.c1222_session import all_ok
from connectors.protocols.c12.epsem import Mode, Respond
from connectors.protocols.c12.errors import C12Error, CipherError
from connectors.protocols.c12.requests import Identify, Logoff, Logon, ReadFull, ReadIndex, ReadOffset, Security, WriteFull
from connectors.protocols.c12.responses import SME, UAT, Done, Identified, Refused, TableData
from connectors.protocols.c12.tables.clock import clock_of
from connectors.protocols.c12.tables.events import log
from connectors.protocols.c12.tables.model import Model, decode_table
from connectors.protocols.c12.tables.procedures import clock_setting, initiate, load_control, read_result
from connectors.protocols.c12.tables.profile import load_profile
from connectors.protocols.c12.tables.registers import registers
from connectors.protocols.c12.titles import title
from connectors.simulator.c12.notices import CODES
from connectors.simulator.config import Address, FleetConfig
from connectors.simulator.fleet import Fleet
from connectors.simulator.plan import MeterPlan, plan_fleet
from connectors.simulator.scenario import Happening
from connectors.templates.c12_loader import load_c12_templates
from tests.integration.c1222_client import Counting, Wire, client_of
from tests.integration.tshark import Packet, complaints, dissect, fields

pytestmark = pytest.mark.integration

NOW_MS = 1_790_000_123_000
DAYS = 3


@pytest_asyncio.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    made = Fleet(FleetConfig(tmp_path, meters=8, c12_share=1.0, drift_share=0, profile_days=DAYS), lambda: NOW_MS)
    await made.start()
    yield made
    await made.stop()


def of_kind(fleet: Fleet, flag: str) -> tuple[MeterPlan, int]:
    return next((plan, port) for plan, port in zip(fleet.plans, fleet.ports, strict=True) if plan.model.flag == flag)


KINDS = {"sessionless, ciphered": "ITN", "session, authenticated": "LGF"}


class Visit:
    """A client that has logged on where the meter wants it."""

    def __init__(self, plan: MeterPlan, port: int, *, udp: bool = False) -> None:
        self.plan, self.wire, self.numbers = plan, Wire(port, udp), Counting()
        self.client = client_of(plan, self.numbers)

    async def ask(self, *requests: Request, respond: Respond = Respond.ALWAYS) -> Sequence[Response]:
        return await self.wire.drive(self.client.request(requests, respond))

    async def read(self, *tables: int) -> list[bytes]:
        asked = [ReadFull(table) for table in tables]
        found = all_ok(await self.ask(*asked), asked, "tables")
        return [item.data for item in found if isinstance(item, TableData)]

    async def model(self) -> Model:
        model = Model.of((await self.read(0))[0])
        tables = sorted(model.config.tables - {0, 64})
        for group in (tables[:12], tables[12:24], tables[24:]):
            for table, octets in zip(group, await self.read(*group), strict=True):
                model = model.with_octets(table, octets)
        return model


@asynccontextmanager
async def visiting(found: tuple[MeterPlan, int], *, udp: bool = False) -> AsyncIterator[Visit]:
    visit = Visit(*found, udp=udp)
    await visit.wire.open()
    kind = visit.plan.model.c12
    if kind is not None and kind.session:
        asked: list[Request] = [Logon(2, b"hes", 60), Security(visit.plan.password.encode(), 2)]
        all_ok(await visit.ask(*asked), asked, "logon")
    try:
        yield visit
        if kind is not None and kind.session:
            await visit.ask(Logoff())
    finally:
        visit.wire.close()
        await asyncio.sleep(0)  # transports close in the loop's next turn


@pytest.mark.parametrize("udp", [False, True], ids=["TCP", "UDP"])
@pytest.mark.parametrize("flag", KINDS.values(), ids=KINDS)
async def test_what_is_read_is_what_the_meter_measures(fleet: Fleet, flag: str, udp: bool) -> None:
    found = of_kind(fleet, flag)
    async with visiting(found, udp=udp) as visit:
        plan, model = visit.plan, await visit.model()
        clock = clock_of(model, ZoneInfo(plan.model.time_zone))
        assert model.table(5).text("IDENTIFICATION") == plan.serial
        shown = model.table(52).time("CLOCK_CALENDAR").seconds
        assert shown is not None
        assert clock.to_utc(shown) == NOW_MS // 1000
        for number in (23, 25):
            (current,) = registers(model, number, model.table(number), clock)
            totals = {value.obis: (value.value, value.unit) for value in current.values}
            for obis in ("1.0.1.8.0.255", "1.0.2.8.0.255"):
                assert totals[obis] == (plan.truth(obis, NOW_MS), "Wh")
        (present,) = registers(model, 28, model.table(28), clock)
        for value in present.values:
            if value.obis != "1.0.1.4.0.255":
                assert (value.value, value.scaler) == (plan.truth(value.obis, NOW_MS), plan.scaler_unit(value.obis)[0])
        size = len((await visit.read(64))[0]) // DAYS
        parts = [(at, await _block(visit, at, size)) for at in range(DAYS)]
        profile = load_profile(model, 1, parts, clock)
        assert profile.rows > 96 * (DAYS - 1)
        assert profile.regular
        for channel in profile.channels:
            for end, value, missing in zip(profile.ends, channel.values, channel.missing, strict=True):
                assert (value, missing, channel.unit) == (plan.row(channel.obis, int(end)), False, "Wh")
        (element,) = await visit.ask(ReadIndex(64, (0, 1), 1))
        assert isinstance(element, TableData)
        assert element.data == parts[1][1]


async def _block(visit: Visit, at: int, size: int) -> bytes:
    (found,) = await visit.ask(ReadOffset(64, at * size, size))
    assert isinstance(found, TableData)
    return found.data


@pytest.mark.parametrize("flag", KINDS.values(), ids=KINDS)
async def test_procedures(fleet: Fleet, flag: str) -> None:
    async with visiting(of_kind(fleet, flag)) as visit:
        model = await visit.model()
        clock = clock_of(model, ZoneInfo(visit.plan.model.time_zone))

        async def run(sequence: int, octets: bytes) -> int:
            asked: list[Request] = [WriteFull(7, octets), ReadFull(8)]
            _, said = all_ok(await visit.ask(*asked), asked, "procedure")
            assert isinstance(said, TableData)
            result = read_result(said.data, model)
            assert result.sequence == sequence
            return result.code

        for level, sequence in ((100, 1), (0, 2)):
            number, parameters = load_control(model, level, frozenset((0,)))
            assert await run(sequence, initiate(model, number, parameters, sequence)) == 0
            (state,) = decode_table(112, (await visit.read(112))[0], model).value.records("STATUS_ENTRIES")
            assert [state.integer(f"{name}_LEVEL") for name in ("REQUESTED", "OUTPUT", "SENSED")] == [level] * 3
        number, parameters = clock_setting(model, NOW_MS // 1000 + 3600, clock)
        assert await run(3, initiate(model, number, parameters, 3)) == 0
        shown = decode_table(52, (await visit.read(52))[0], model).value.time("CLOCK_CALENDAR").seconds
        assert shown is not None
        assert clock.to_utc(shown) == NOW_MS // 1000 + 3600
        assert await run(4, initiate(model, 9, b"\x01", 4)) == 0
        (after,) = registers(model, 25, decode_table(25, (await visit.read(25))[0], model).value, clock)
        assert (after.demand_resets, model.table(25).integer("NBR_DEMAND_RESETS")) == (0, 0)
        assert (decode_table(23, (await visit.read(23))[0], model).value.integer("NBR_DEMAND_RESETS")) == 1
        assert await run(5, initiate(model, 9, b"\x00", 5)) == 2
        assert await run(6, bytes((99, 0, 6))) == 6
        happened = log(model, 74, decode_table(74, (await visit.read(74))[0], model).value, clock)
        assert [event.code for event in happened.events] == [49, 9, 49, 9, 5, 6, 9, 20, 9, 9]
        assert await run(7, initiate(model, 5, b"\x08\x04\x00", 7)) == 0
        assert log(model, 74, decode_table(74, (await visit.read(74))[0], model).value, clock).unread == 7


async def test_who_may_not(fleet: Fleet) -> None:
    plan, port = of_kind(fleet, "ITN")
    wire, numbers = Wire(port), Counting()
    await wire.open()
    with pytest.raises(CipherError) as wrong:
        await wire.drive(client_of(plan, numbers, key=bytes(16)).request([ReadFull(23)]))
    assert wrong.value.code in ("c1222-policy", "c1222-authentication")
    assert "sme" in wrong.value.detail
    (refused,) = await wire.drive(client_of(plan, numbers, mode=Mode.CLEAR).request([ReadFull(23)]))
    assert isinstance(refused, Refused)
    assert refused.response == SME
    # The same octets once more are the same answer, as after a lost datagram; an older message is a replay.
    client = client_of(plan, numbers)
    await wire.drive(client.request([ReadFull(5)]))
    asked = wire.said[-2]
    wire.send(asked)
    assert await wire.hear() == wire.said[-3]
    await wire.drive(client.request([ReadFull(1)]))
    wire.send(asked)
    said = open_(await wire.hear(), lambda _title, _id: None)
    assert (said.mode, said.services) == (Mode.CLEAR, (bytes((SME,)),))
    wire.close()


async def test_sessions_passwords_and_titles(fleet: Fleet) -> None:
    plan, port = of_kind(fleet, "LGF")
    visit = Visit(plan, port)
    await visit.wire.open()

    async def code(*requests: Request) -> list[int]:
        return [item.response if isinstance(item, Refused) else 0 for item in await visit.ask(*requests)]

    assert await code(ReadFull(1)) == [0x0A]  # isss
    assert await code(Logon(2, b"hes", 60), ReadFull(1), ReadFull(23)) == [0, 0, 3]  # isc
    assert await code(Security(b"wrong", 2)) == [3]
    assert await code(Security(plan.password.encode(), 2), ReadFull(23), Logoff()) == [0, 0, 0]
    assert await code(ReadFull(23)) == [0x0A]
    (identified,) = await visit.ask(Identify())
    assert isinstance(identified, Identified)
    assert identified.standard == 3
    other = next(item for item in fleet.plans if item is not plan and item.model.flag == "LGF")
    with pytest.raises(C12Error):
        await visit.wire.drive(client_of(other, visit.numbers).request([Identify()]))
    assert open_(visit.wire.said[-1], lambda _title, _id: None).services == (bytes((UAT,)),)
    visit.wire.close()


async def test_response_control(fleet: Fleet) -> None:
    async with visiting(of_kind(fleet, "ITN")) as visit:
        visit.wire.send(visit.client.one_way([ReadFull(1)]))
        refused = await visit.ask(ReadFull(2047), respond=Respond.ON_EXCEPTION)
        assert [type(item) for item in refused] == [Refused]
        assert len(visit.wire.said) == 3


class HeadEnd:
    """Answers what meters say unasked, as a gateway does; or does not."""

    def __init__(self, plans: Sequence[MeterPlan]) -> None:
        self.keys = {title(plan.ap_title).text: plan for plan in plans}
        self.heard: list[bytes] = []
        self.silent = 0
        self._numbers = Counting()
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = ApduStream()
        while data := await reader.read(4096):
            for item in stream.feed(data):
                assert isinstance(item, Framed)
                self.heard.append(item.octets)
                if self.silent:
                    self.silent -= 1
                elif (reply := self._reply(item.octets)) is not None:
                    writer.write(reply)
        writer.close()

    def _reply(self, octets: bytes) -> bytes | None:
        calling = message_title(octets)
        plan = self.keys[calling]
        opened = open_(octets, lambda _title, _id: plan.encryption_key)
        message = message_of(opened)
        said: list[Response] = [
            Registered(request.title, 0, 3600, 1) if isinstance(request, Register) else Done()
            for request in message.requests
        ]
        assert opened.key_id is not None
        key = Seal(opened.mode, plan.encryption_key, opened.key_id, self._numbers.iv())
        return answer(opened, said, invocation=self._numbers.invocation(), seal_with=key)


def message_title(octets: bytes) -> str:
    calling = acse.decode(octets).calling
    assert calling is not None
    return calling.text


async def test_registrations_notifications_and_last_gasps(tmp_path: Path) -> None:
    quiet = FleetConfig(
        tmp_path, meters=6, c12_share=1.0, drift_share=0, push_every_s=0, outage_every_s=0, tamper_every_s=0,
        voltage_every_s=0, clock_every_s=0, backoff_s=0.01, confirm_timeout_s=0.3,
    )  # fmt: skip
    head_end = HeadEnd(plans := plan_fleet(quiet))
    head_end.silent = 2  # these are said again
    fleet = Fleet(replace(quiet, c12_to=Address("127.0.0.1", await head_end.open())))
    await fleet.start()
    for what in CODES:
        for meter in fleet._meters:
            meter.happen(Happening(0, meter.plan.index, what))
    while any(meter.waiting for meter in fleet._meters):  # noqa: ASYNC110 - meters have no event for it
        await asyncio.sleep(0.01)
    await fleet.stop()
    head_end.close()
    pushes = [row for row in map(json.loads, (tmp_path / "truth.jsonl").read_text().splitlines()) if row["t"] == "push"]
    assert {row["what"] for row in pushes} == {"registration", *CODES}
    assert all(row["confirmed"] is (None if row["what"] == "outage" else True) for row in pushes)
    assert sum(row["attempts"] for row in pushes if row["what"] != "outage") == 6 * 5 + 2
    model = Model.of(bytes.fromhex(_assumed(tmp_path, "simulated-openway")[0]))
    assert 76 in model.config.tables
    sound(head_end.heard, plans)


def _assumed(folder: Path, name: str) -> dict[int, str]:
    template = load_c12_templates(folder / "templates")[name]
    return {number: octets.hex() for number, octets in template.assumed.items()}


def sound(said: Sequence[bytes], plans: Sequence[MeterPlan]) -> None:
    """Wireshark reads all of it, and verifies and deciphers what is secured."""
    for plan in plans:
        kind = plan.model.c12
        assert kind is not None
        own = [octets for octets in said if title(plan.ap_title).text in _titles(octets)]
        preferences = {
            "c1222.baseoid": "2.16.124.113620.1.22.0",
            "c1222.decrypt": "TRUE",
            "uat:c1222_decryption_table": f'"{kind.key_id:02X}",{plan.encryption_key.hex()}',
        }
        for layer in dissect([Packet(octets) for octets in own], "c1222", preferences) if own else ():
            assert complaints(layer) == []
            assert set(fields(layer, "c1222.crypto_good")) == {"1"}


def _titles(octets: bytes) -> set[str]:
    apdu = acse.decode(octets)
    return {item.text for item in (apdu.called, apdu.calling) if item is not None}


async def test_wireshark_reads_a_whole_visit(fleet: Fleet) -> None:
    for flag in KINDS.values():
        found = of_kind(fleet, flag)
        async with visiting(found) as visit:
            await visit.read(0, 1, 3, 5, 6)
            await visit.read(23, 28, 52)
        whole = [octets for octets in visit.wire.said if not _in_segments(octets)]
        assert len(whole) >= 4
        sound(whole, [found[0]])


def _in_segments(octets: bytes) -> bool:
    return acse.decode(octets).segment
