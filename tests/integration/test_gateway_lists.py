"""A worker on sockets at gurux-dlms' server, altered as servers of others have been seen to be: it does not answer lists."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from connectors.gateway.addresses import Address
from connectors.gateway.session import MeterLink
from connectors.protocols.dlms.template import PullTemplate, Template
from schemas.records import Operation, Outcome, RegisterReadings
from tests.integration.probe_meters import listening, objects, of, wrapper
from tests.unit.connectors.gateway.bench import Bench, job, registered
from tests.unit.connectors.gateway.drivers.test_dlms import with_template
from tests.unit.connectors.gateway.meters import Network, ScriptedMeter
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

LIST = b"\xc0\x03"
READ = ("3/1.0.1.8.0.255/2", "3/1.0.2.8.0.255/2")
NEVER = 1e9


@dataclass
class Sockets(Network):
    """What `connect` reaches are sockets of this machine."""

    meters: dict[int, ScriptedMeter | Exception] = field(default_factory=dict)

    async def connect(self, factory: Callable[[], MeterLink], address: Address) -> None:
        self.connects.append(address.port)
        await asyncio.get_running_loop().create_connection(factory, address.host, address.port)


@pytest.mark.parametrize(
    ("answer", "connects"),
    [
        pytest.param(None, 2, id="hangs-up-as-gurux-in-c++"),
        pytest.param(bytes.fromhex("D80202"), 1, id="exception-response"),
    ],
)
async def test_a_meter_that_answers_no_lists_is_read(answer: bytes | None, connects: int) -> None:
    served = of({16: GuruxMeter(objects())})
    asked: list[bytes] = []

    def exchange(client: int, apdu: bytes) -> bytes | None:
        asked.append(apdu[:2])
        return answer if apdu[:2] == LIST else served(client, apdu)

    with listening(wrapper(exchange)) as port:
        bench = Bench(
            registered(endpoint=f"tcp://127.0.0.1:{port}", template="open"),
            network=Sockets(),
            answer_timeout_s=NEVER,
            job_timeout_s=NEVER,
        )
        with_template(bench, Template("open", pull=PullTemplate()))
        for n, name in enumerate(("a", "b"), 1):
            bench.put(job(Operation.READ_REGISTERS, name, objects=READ))
            while len(bench.ended()) < n:  # a retry's pause is the bench's time, the sockets' is their own
                await bench.run(1)
                await asyncio.sleep(0.01)
            assert bench.ended()[-1] == (name, Outcome.DONE, "")
            made = bench.readings()[-1]
            assert isinstance(made, RegisterReadings)
            assert [item.value for item in made.registers] == [123456789, 42]
    assert asked.count(LIST) == 1
    assert len(bench.network.connects) == connects + 1
