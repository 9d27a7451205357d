"""A worker whose meter ciphers, and what it told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from gurux_dlms.enums import DataType

from connectors.gateway.keystore import MeterKeys
from connectors.protocols.dlms.template import PullTemplate, PushTemplate, Template
from schemas.records import Alarm, AlarmKind, Operation
from tests.unit.connectors.gateway.bench import Bench, job, registered
from tests.unit.connectors.gateway.builders import AK, EK, title
from tests.unit.connectors.gateway.ledgers import Shared
from tests.unit.connectors.gateway.meters import Network as Wires
from tests.unit.connectors.gateway.meters import ScriptedMeter
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, data
from tests.unit.connectors.protocols.dlms.secure_meter import METER_TITLE, SecureMeter


def alarms(bench: Bench, kind: AlarmKind) -> list[Alarm]:
    found = bench.publisher.records("hes.events.urgent")
    return [record for record in found if isinstance(record, Alarm) and record.kind is kind]


COUNTER, NAME = "0.0.43.1.0.255", "0.0.96.1.0.255"
PULL = PullTemplate(client=1, auth="hls-gmac", security="both", counter=COUNTER)


@dataclass
class Secured(ScriptedMeter):
    """Client 16 reads the invocation counter in clear, client 1 is ciphered; gurux deciphers and counts."""

    counted: int = 500
    meter: SecureMeter = field(init=False)

    def __post_init__(self) -> None:
        things = [data(NAME, b"HES42", DataType.OCTET_STRING)]
        self.public = GuruxMeter([data(COUNTER, self.counted, DataType.UINT32)])
        self.meter = SecureMeter(GuruxMeter(things), ek=EK, ak=AK)
        self.meter.heard = self.counted

    def answer(self, apdu: bytes) -> bytes:
        if self.asker == 16:
            next(item for item in self.public.items if item.logicalName == COUNTER).value = self.meter.heard
            return self.public.exchange(apdu)
        return self.meter.exchange(apdu)


def secured_bench(there: Secured, shared: Shared | None = None, pull: PullTemplate = PULL) -> Bench:
    known = registered("m1", template="secure", key_ref="ref", identities=(title(METER_TITLE),))
    keys = {"ref": MeterKeys(EK, AK)}
    bench = Bench(known, network=Wires({4059: there}), keys=keys, attempts=1)
    templates = {"secure": Template("secure", push=PushTemplate(), pull=pull)}
    bench.driver._tools = replace(bench.driver._tools, templates=templates)
    if shared is not None:
        bench.ledger.shared = shared
    return bench


async def done(bench: Bench, jobs: int = 1) -> None:
    """Let time pass until so many jobs have ended; reservations are written on threads."""
    for _ in range(200):
        if len(bench.ended()) >= jobs and not bench.worker.busy:
            return
        await bench.run(0.1)
        await asyncio.to_thread(lambda: None)


def read_name(name: str = "j1") -> Any:
    return job(Operation.READ_REGISTERS, name, objects=(f"1/{NAME}/2",))
