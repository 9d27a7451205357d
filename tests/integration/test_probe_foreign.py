"""`hes probe` at meters that do what meters of others have been seen to do."""

from __future__ import annotations

import pytest

from tests.integration import probe_cli
from tests.integration.probe_cli import Probe
from tests.integration.probe_meters import listening, objects, of, wrapper
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter

pytestmark = pytest.mark.integration

probe = probe_cli.probe  # the fixture


def test_a_meter_that_hangs_up_on_lists(probe: Probe) -> None:
    """As gurux' server in C++ does: each attribute is asked for alone then."""
    meter = GuruxMeter(objects())
    served = of({16: meter})

    def exchange(client: int, apdu: bytes) -> bytes | None:
        return None if apdu[:2] == b"\xc0\x03" else served(client, apdu)

    with listening(wrapper(exchange)) as port:
        ran = probe(port)
    assert ran.exit_code == 0, ran.err
    assert ran.values()["serial"] == "GRX00000042"
    assert ran.err.count("hung up on a list") == 1
    assert not [row for row in ran.rows if "error" in row]
