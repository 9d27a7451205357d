from __future__ import annotations

import pytest

from connectors.gateway.addresses import Address, address_of, dials_in
from connectors.gateway.errors import JobError
from schemas.records import Meter


@pytest.mark.parametrize(
    ("endpoint", "address", "text"),
    [
        pytest.param("tcp://10.0.0.7:4059", Address("tcp", "10.0.0.7", 4059), "10.0.0.7:4059", id="tcp"),
        pytest.param("udp://meter.example:4059", Address("udp", "meter.example", 4059), "meter.example:4059", id="udp"),
        pytest.param("tcp://[::1]:4059", Address("tcp", "::1", 4059), "[::1]:4059", id="ipv6"),
        pytest.param("udp://[2001:db8::7]:1", Address("udp", "2001:db8::7", 1), "[2001:db8::7]:1", id="ipv6-udp"),
        pytest.param("dial-in", Address("dial-in"), "dial-in", id="dial-in"),
        pytest.param("c1218://h:1153", Address("tcp", "h", 1153), "h:1153", id="c1218"),
        pytest.param("c1222://h", Address("tcp", "h", 1153), "h:1153", id="c1222-usual-port"),
        pytest.param("c1222+udp://[::1]", Address("udp", "::1", 1153), "[::1]:1153", id="c1222-udp-ipv6"),
        pytest.param("c1222://h:7", Address("tcp", "h", 7), "h:7", id="c1222-port"),
        pytest.param("serial:/dev/ttyUSB0", Address("serial", "/dev/ttyUSB0", 9600), "/dev/ttyUSB0", id="serial"),
        pytest.param("serial:/dev/pts/3?rate=300", Address("serial", "/dev/pts/3", 300), "/dev/pts/3", id="serial-rate"),
    ],
)
def test_addresses(endpoint: str, address: Address, text: str) -> None:
    found = address_of(Meter(id="m1", endpoint=endpoint))
    assert (found, str(found)) == (address, text)
    assert dials_in(Meter(endpoint=endpoint)) is (endpoint == "dial-in")


@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        pytest.param("", "meter-no-endpoint", id="none"),
        pytest.param("10.0.0.7:4059", "endpoint-unsupported", id="no-scheme"),
        pytest.param("tcp://10.0.0.7", "endpoint-unsupported", id="no-port"),
        pytest.param("tcp://:4059", "endpoint-unsupported", id="no-host"),
        pytest.param("tcp://h:99999", "endpoint-unsupported", id="port-too-high"),
        pytest.param("tcp://[::1:4059", "endpoint-unsupported", id="bracket"),
        pytest.param("http://h:80", "endpoint-unsupported", id="http"),
        pytest.param("c1218://h", "endpoint-unsupported", id="c1218-has-no-usual-port"),
        pytest.param("serial:ttyUSB0", "endpoint-unsupported", id="serial-no-path"),
        pytest.param("serial:/dev/ttyUSB0?rate=fast", "endpoint-unsupported", id="serial-no-rate"),
    ],
)
def test_refused(endpoint: str, code: str) -> None:
    with pytest.raises(JobError) as caught:
        address_of(Meter(id="m1", endpoint=endpoint))
    assert caught.value.code == code


def test_nobody_dials_in_who_is_not_known() -> None:
    assert not dials_in(None)
