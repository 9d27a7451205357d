"""The replayer says what gurux said, to everyone, without asking gurux again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gurux_dlms import GXByteBuffer, GXDLMSClient, GXReplyData
from gurux_dlms.enums import Authentication, InterfaceType

from connectors.simulator.config import DAY_MS, FleetConfig
from connectors.simulator.plan import MeterPlan, plan_fleet
from connectors.simulator.replayer import Replayer, Script
from connectors.simulator.server import MeterServer
from connectors.simulator.truth import EXPORT, IMPORT, QUARTER_MS
from tests.unit.connectors.simulator.test_server import DAY, NOW, Session

PLAN: MeterPlan = next(plan for plan in plan_fleet(FleetConfig(Path("unused"), meters=60)) if plan.model.model == "AM550")


async def read_a_day(replayer: Replayer) -> list[Any]:
    there: Any = SimpleNamespace(ports={PLAN.index: replayer.ports[0]})
    async with Session(there, PLAN) as session:
        return [row[1:] for row in await session.rows(DAY, DAY + DAY_MS - 1000)]


async def test_the_second_session_learns_nothing_new() -> None:
    replayer = Replayer(PLAN)
    replayer.script._cosem._now_ms = lambda: NOW
    await replayer.start()
    try:
        first = await read_a_day(replayer)
        learned = replayer.script.learned
        assert await read_a_day(replayer) == first
        assert replayer.script.learned == learned
    finally:
        await replayer.stop()
    ends = range(DAY, DAY + DAY_MS, QUARTER_MS)
    assert first == [[PLAN.load.status(end), PLAN.truth(IMPORT, end), PLAN.truth(EXPORT, end)] for end in ends]


def test_an_answer_depends_on_what_was_asked_before() -> None:
    script = Script(Replayer(PLAN).script._cosem)
    client = GXDLMSClient(True, 1, 1, Authentication.LOW, PLAN.password, InterfaceType.WRAPPER)
    associate = bytes(client.aarqRequest()[0])
    accepted, associated = script.answer(script.root, associate)
    assert accepted == MeterServer(script._cosem).answer(associate)
    client.getData(GXByteBuffer(accepted), reply := GXReplyData())
    client.parseAareResponse(reply.data)
    get = bytes.fromhex("0001 0001 0001 000D C001 C1 0003 0100010800FF 03 00")
    inside, _ = script.answer(associated, get)
    outside, _ = script.answer(script.root, get)
    assert inside[8:12] == bytes.fromhex("C401C100")
    assert outside != inside
    assert script.answer(associated, get)[0] is inside
    assert script.learned == 3
