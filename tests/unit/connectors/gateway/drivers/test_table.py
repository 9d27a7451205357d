from __future__ import annotations

import pytest

from connectors.gateway.drivers.table import driver_of, drivers_of, protocol_of
from connectors.gateway.errors import JobError
from schemas.records import Meter, Operation, Outcome, Protocol
from tests.unit.connectors.gateway.bench import Bench, job, registered


async def test_a_meter_whose_protocol_nobody_speaks_is_told_as_such_and_not_bothered() -> None:
    bench = Bench(registered(protocol=Protocol.C1222))
    bench.put(job(Operation.READ_CLOCK), job(Operation.PING, "j2"))
    await bench.run(1)
    assert bench.ended() == [(name, Outcome.FAILED, "protocol-unsupported") for name in ("j1", "j2")]
    assert (bench.network.connects, bench.offsets.finished) == ([], ["j1", "j2"])
    assert "C1222" in bench.results()[0].detail
    bench.put(job(Operation.PING, "j3"))
    await bench.run(1)
    assert bench.ended()[2:] == [("j3", Outcome.FAILED, "protocol-unsupported")]


@pytest.mark.parametrize("protocol", [Protocol.DLMS, Protocol.UNKNOWN])
async def test_a_meter_whose_protocol_nobody_said_speaks_dlms(protocol: Protocol) -> None:
    bench = Bench()
    meter = Meter(id="m1", protocol=protocol)
    assert protocol_of(meter) is Protocol.DLMS
    assert driver_of(meter, drivers_of((bench.driver,))) is bench.driver


def test_without_drivers_nothing_is_spoken() -> None:
    with pytest.raises(JobError, match="speaks"):
        driver_of(Meter(id="m1"), {})
