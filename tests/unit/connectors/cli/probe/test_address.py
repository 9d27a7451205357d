"""Where a meter is, as it is written."""

from __future__ import annotations

import pytest

from connectors.cli.failure import USAGE, CommandError
from connectors.cli.probe.address import Target, parse


@pytest.mark.parametrize(
    ("text", "target"),
    [
        pytest.param("dlms://10.0.0.7", Target("10.0.0.7", 4059), id="url"),
        pytest.param("dlms://10.0.0.7:8000/", Target("10.0.0.7", 8000), id="url-with-port"),
        pytest.param("meter.example:4060", Target("meter.example", 4060), id="host-and-port"),
        pytest.param("meter.example", Target("meter.example", 4059), id="host"),
        pytest.param("tcp://10.0.0.7", Target("10.0.0.7", 4059), id="tcp"),
        pytest.param("UDP://10.0.0.7:4061", Target("10.0.0.7", 4061, datagram=True), id="udp"),
        pytest.param("dlms://[2001:db8::7]", Target("2001:db8::7", 4059), id="ipv6"),
        pytest.param("[fe80::1%eth0]:4059", Target("fe80::1%eth0", 4059), id="ipv6-zone"),
    ],
)
def test_parse(text: str, target: Target) -> None:
    assert parse(text) == target


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("c1222://10.0.0.7", "c1222:// comes with the ANSI gateway", id="c12.22"),
        pytest.param("C1218:///dev/ttyUSB0", "c1218:// comes with the ANSI gateway", id="c12.18"),
        pytest.param("http://10.0.0.7", "http:// is no meter's protocol", id="http"),
        pytest.param("dlms://10.0.0.7:70000", "there is no port 70000", id="port"),
        pytest.param("dlms://10.0.0.7:0", "there is no port 0", id="port-zero"),
        pytest.param("2001:db8::7", "cannot be read", id="ipv6-without-brackets"),
        pytest.param("dlms://", "cannot be read", id="nothing"),
        pytest.param("dlms://user:Geheim1@10.0.0.7", "cannot be read", id="with-a-password"),
        pytest.param("dlms://10.0.0.7/path", "cannot be read", id="path"),
    ],
)
def test_refused(text: str, says: str) -> None:
    with pytest.raises(CommandError, match=says) as raised:
        parse(text)
    assert raised.value.exit_code == USAGE
    assert raised.value.mend
    assert "Geheim1" not in str(raised.value)


def test_shown() -> None:
    assert str(Target("::1", 4059)) == "[::1]:4059 (TCP)"
    assert str(Target("10.0.0.7", 4059, datagram=True)) == "10.0.0.7:4059 (UDP)"
