"""The HDLC link and gurux: its client's octets, and its server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from gurux_dlms import GXDLMSClient
from gurux_dlms.enums import Authentication, DataType, InterfaceType
from gurux_dlms.objects import GXDLMSData

from connectors.protocols.dlms.association import Association, associate
from connectors.protocols.dlms.axdr import encode
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.get import Attribute, get
from connectors.protocols.dlms.hdlc_link import HdlcLink, State
from connectors.protocols.dlms.hdlc_parameters import Parameters, Stations
from connectors.protocols.dlms.link import Link
from tests.unit.connectors.protocols.dlms.gurux_meter import T, code_of, data
from tests.unit.connectors.protocols.dlms.hdlc_meter import HdlcMeter
from tests.unit.connectors.protocols.dlms.hdlc_octets import STATIONS, TIMING, frames_of, opened


def gurux_client(**limits: int) -> GXDLMSClient:
    client = GXDLMSClient(True, 16, 1, Authentication.NONE, None, InterfaceType.HDLC)
    for name, value in limits.items():
        setattr(client.hdlcSettings, name, value)
    return client


@pytest.mark.parametrize(
    ("limits", "parameters"),
    [
        pytest.param({}, Parameters(), id="defaults"),
        pytest.param(
            {"maxInfoTX": 200, "maxInfoRX": 1000, "windowSizeTX": 3, "windowSizeRX": 7},
            Parameters(200, 1000, 3, 7),
            id="all",
        ),
    ],
)
def test_snrm_is_gurux_clients(limits: dict[str, int], parameters: Parameters) -> None:
    assert HdlcLink(STATIONS, parameters).open(0.0) == bytes(gurux_client(**limits).snrmRequest())


@pytest.mark.parametrize(
    ("stations", "server", "size"),
    [
        pytest.param(Stations(16, 1), 1, 1, id="one"),
        pytest.param(Stations(1, 1, 17), 1 << 7 | 17, 2, id="two"),
        pytest.param(Stations(1, 1, 0x1234), 1 << 14 | 0x1234, 4, id="four"),
        pytest.param(Stations(1, 1, 17, server_size=4), 1 << 14 | 17, 4, id="four-though-two-would-do"),
    ],
)
def test_addresses_are_gurux_clients(stations: Stations, server: int, size: int) -> None:
    client = GXDLMSClient(True, stations.client, server, Authentication.NONE, None, InterfaceType.HDLC)
    client.serverAddressSize = size
    assert HdlcLink(stations).open(0.0) == bytes(client.snrmRequest())


@pytest.mark.parametrize("stations", [Stations(16, 0x80), Stations(16, 1, 0x4000), Stations(16, 1, 17, server_size=1)])
def test_addresses_that_do_not_fit(stations: Stations) -> None:
    assert code_of(lambda: HdlcLink(stations)) == "frame-malformed"


def test_first_segment_of_a_request_is_gurux_clients() -> None:
    item = GXDLMSData("0.0.96.1.0.255")
    item.value = bytes(range(250))
    item.setDataType(2, DataType.OCTET_STRING)
    client = gurux_client()
    theirs = bytes(client.write(item, 2)[0])
    apdu = bytes.fromhex("C101C100010000600100FF0200") + encode(item.value)
    ours = opened().send(apdu, 0.0)
    # gurux counts the LLC octets beyond the 128 of the first segment, the standard within
    first = frames_of(ours)[0]
    assert (first.control, first.segmented) == (frames_of(theirs)[0].control, frames_of(theirs)[0].segmented)
    assert frames_of(theirs)[0].information.startswith(first.information[:120])
    assert len(first.information) == 128


def run(session: Session[T], link: Link, octets: Callable[[bytes], bytes]) -> T:
    """A session over a link to something that answers octets with octets at once."""
    try:
        apdu = next(session)
        while True:
            out = link.send(apdu, 0.0)
            found: tuple[bytes, ...] = ()
            while out:
                found_now, out = link.receive(octets(out), 0.0)
                found += found_now
            apdu = session.send(found[0])
    except StopIteration as ended:
        result: T = ended.value
        return result


@pytest.mark.parametrize("size", [40, 128, 300])
def test_gurux_server(size: int) -> None:
    value = bytes(i % 251 for i in range(3000))
    meter = HdlcMeter(Parameters(size, size, 1, 1), [data("0.0.96.1.0.255", value, DataType.OCTET_STRING)])
    link = HdlcLink(STATIONS, Parameters(300, 300, 7, 7), TIMING)
    assert link.receive(meter.octets(link.open(0.0)), 0.0) == ((), b"")
    assert link.agreed == Parameters(size, size, 1, 1)
    peer = run(associate(Association()), link, meter.octets)
    for _ in range(3):
        assert run(get(peer, Attribute(1, "0.0.96.1.0.255", 2)), link, meter.octets) == encode(value)
    link.receive(meter.octets(link.close(0.0)), 0.0)
    assert link.state is State.CLOSED
