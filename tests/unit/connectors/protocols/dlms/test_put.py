"""SET: the octets of requests against gurux' client, its server taking them, and each way in which they go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gurux_dlms import GXDLMSClient
from gurux_dlms.enums import AccessMode, Authentication, DataType, InterfaceType
from gurux_dlms.GXDLMSLNParameters import GXDLMSLNParameters
from gurux_dlms.objects import GXDLMSData
from gurux_dlms.ValueEventArgs import ValueEventArgs
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.association import PROPOSED, Association, Conformance, associate
from connectors.protocols.dlms.axdr import encode
from connectors.protocols.dlms.errors import CODES, DlmsError, PeerError
from connectors.protocols.dlms.get import Attribute, ByEntry, get
from connectors.protocols.dlms.put import put, put_list
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, code_of, data, drive
from tests.unit.connectors.protocols.dlms.scripted import asked, link

NAME = Attribute(1, "0.0.96.1.0.255", 2)
LIMIT = Attribute(3, "1.0.31.35.0.255", 2)
LONG = encode(bytes(range(100)))
SHORT = b"\x09\x02\x68\x69"


class WritableMeter(GuruxMeter):
    def onGetAttributeAccess(self, arg: Any) -> AccessMode:  # noqa: N802 - gurux' name
        return AccessMode.NO_ACCESS if arg.target.logicalName in self.denied else AccessMode.READ_WRITE


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableMeter]:
    """Gurux' port calls these on its way through a SET and does not define them."""
    monkeypatch.setattr(ValueEventArgs, "__iter__", lambda self: iter([self]), raising=False)
    monkeypatch.setattr(ValueEventArgs, "setValue", lambda self, value: setattr(self, "value", value), raising=False)
    monkeypatch.setattr(GXDLMSLNParameters, "setStatus", lambda self, status: setattr(self, "status", status), raising=False)
    monkeypatch.setattr(GXDLMSLNParameters, "isMultipleBlocks", lambda self: self.multipleBlocks, raising=False)
    return WritableMeter(
        [data(NAME.obis, b"before", DataType.OCTET_STRING), data("0.0.96.1.1.255", b"", DataType.OCTET_STRING)],
        denied=["0.0.96.1.1.255"],
    )


def test_normal() -> None:
    requests, exchange = asked("C5 01 C1 00")
    drive(put(link(), NAME, SHORT), exchange)
    assert requests == ["C1 01 C1 00 01 00 00 60 01 00 FF 02 00 09 02 68 69"]


def test_selection() -> None:
    requests, exchange = asked("C5 01 C1 00")
    drive(put(link(), Attribute(7, "1.0.99.1.0.255", 2), SHORT, ByEntry(1, 2)), exchange)
    selected = "01 02 02 04 06 00 00 00 01 06 00 00 00 02 12 00 01 12 00 00"
    assert requests == [f"C1 01 C1 00 07 01 00 63 01 00 FF 02 {selected} 09 02 68 69"]


def test_taken_by_gurux(meter: WritableMeter) -> None:
    peer = drive(associate(Association()), meter.exchange)
    drive(put(peer, NAME, LONG), meter.exchange)
    assert drive(get(peer, NAME), meter.exchange) == LONG


@pytest.mark.parametrize(
    ("attribute", "result"),
    [
        pytest.param(Attribute(1, "0.0.96.1.1.255", 2), "(read-write-denied)", id="denied"),
        pytest.param(Attribute(1, "0.0.96.1.9.255", 2), "(object-undefined)", id="undefined"),
    ],
)
def test_refused_by_gurux(meter: WritableMeter, attribute: Attribute, result: str) -> None:
    peer = drive(associate(Association()), meter.exchange)
    with pytest.raises(PeerError, match="data-access-result") as raised:
        drive(put(peer, attribute, SHORT), meter.exchange)
    assert result in raised.value.detail


@pytest.mark.parametrize("size", [22, 64, 90, 0xFFFF])
def test_requests_are_gurux_clients(size: int) -> None:
    client = GXDLMSClient(True, 16, 1, Authentication.NONE, None, InterfaceType.WRAPPER)
    client.settings.maxPduSize = size
    item = GXDLMSData(NAME.obis)
    item.value = bytes(range(100))
    item.setDataType(2, DataType.OCTET_STRING)
    theirs = [bytes(message)[8:] for message in client.write(item, 2)]  # without the wrapper
    requests: list[bytes] = []

    def exchange(apdu: bytes) -> bytes:
        requests.append(apdu)
        if len(requests) == len(theirs):
            return b"\xc5\x01\xc1\x00" if len(theirs) == 1 else b"\xc5\x03\xc1\x00" + len(theirs).to_bytes(4, "big")
        return b"\xc5\x02\xc1" + len(requests).to_bytes(4, "big")

    drive(put(link(max_send_pdu=size), NAME, LONG), exchange)
    assert [request[:1] for request in requests] == [b"\xc1"] * len(theirs)
    assert requests == theirs


@pytest.mark.parametrize(
    ("answers", "code", "says"),
    [
        pytest.param(
            ["C5 01 C1 03"], "peer-access", "1/0.0.96.1.0.255/2: data-access-result 3 (read-write-denied)", id="denied"
        ),
        pytest.param(["C5 01 C0 0C"], "peer-access", "(type-unmatched)", id="refusal-that-forgot-the-id"),
        pytest.param(["0E 06 05 02"], "peer-exception", "write: access, object-access-violated", id="service-error"),
        pytest.param([""], "peer-closed", "closed", id="closed"),
        pytest.param(["C4 01 C1 00 00"], "peer-unexpected", "C4 01", id="answer-to-a-get"),
        pytest.param(["C5 02 C1 00 00 00 01"], "peer-unexpected", "C5 02", id="asks-for-more-of-a-whole"),
        pytest.param(["C5 01 C1"], "peer-unexpected", "C5 01", id="no-result"),
        pytest.param(["C5 01 C1 00 00"], "peer-unexpected", "C5 01", id="octets-after"),
        pytest.param(["C5 01 C2 00"] * 4, "peer-unexpected", "invoke-ids", id="other-invoke-ids"),
    ],
)
def test_refused(answers: list[str], code: str, says: str) -> None:
    _, exchange = asked(*answers)
    with pytest.raises(DlmsError) as raised:
        drive(put(link(), NAME, SHORT), exchange)
    assert (raised.value.code, says in raised.value.detail) == (code, True)


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        pytest.param(["C5 02 C1 00 00 00 01", "C5 02 C1 00 00 00 02", "C5 03 C1 00 00 00 00 03"], None, id="taken"),
        pytest.param(["C5 02 C1 00 00 00 01", "C5 02 C1 00 00 00 02", "C5 01 C1 00"], None, id="taken-and-said-plainly"),
        pytest.param(["C5 02 C1 00 00 00 01", "C5 02 C1 00 00 00 02", "C5 03 C1 0C 00 00 00 03"], "peer-access", id="type"),
        pytest.param(["C5 02 C1 00 00 00 02"], "peer-block", id="acknowledges-another"),
        pytest.param(["C5 03 C1 00 00 00 00 01"], "peer-block", id="taken-before-the-last"),
        pytest.param(["C5 01 C1 11"], "peer-access", id="aborted"),
        pytest.param(["C5 02 C1 00 00 00 01", "C5 03 C1 13 00 00 00 02"], "peer-access", id="number-invalid"),
        pytest.param(["C5 02 C1 00 00 00 01", ""], "peer-closed", id="closed"),
    ],
)
def test_long_value(answers: list[str], code: str | None) -> None:
    requests, exchange = asked(*answers)
    assert code_of(lambda: drive(put(link(max_send_pdu=50), NAME, LONG), exchange)) == code
    assert len(requests) == len(answers)


def test_a_meter_without_blocks() -> None:
    peer = link(PROPOSED & ~Conformance.BLOCK_TRANSFER_WITH_SET, 50)
    assert code_of(lambda: drive(put(peer, NAME, LONG), lambda _: b"")) == "peer-pdu-size"


ITEMS = [(NAME, SHORT), (LIMIT, b"\x06\x00\x00\x27\x10"), (NAME, SHORT)]


def test_list() -> None:
    requests, exchange = asked("C5 05 C1 03 00 03 00")
    first, second, third = drive(put_list(link(), ITEMS), exchange)
    descriptors = "00 01 00 00 60 01 00 FF 02 00 00 03 01 00 1F 23 00 FF 02 00 00 01 00 00 60 01 00 FF 02 00"
    assert requests == [f"C1 04 C1 03 {descriptors} 03 09 02 68 69 06 00 00 27 10 09 02 68 69"]
    assert (first, third) == (None, None)
    assert isinstance(second, PeerError)
    assert second.detail.startswith("3/1.0.31.35.0.255/2: data-access-result 3")


@pytest.mark.parametrize(
    ("size", "kinds"),
    [pytest.param(48, [4], id="just"), pytest.param(47, [4, 1], id="one-less"), pytest.param(22, [1, 1, 1], id="singly")],
)
def test_list_fits_the_meter(size: int, kinds: list[int]) -> None:
    requests: list[bytes] = []

    def exchange(apdu: bytes) -> bytes:
        requests.append(apdu)
        return b"\xc5" + (b"\x05" + apdu[2:4] + bytes(apdu[3]) if apdu[1] == 4 else b"\x01" + apdu[2:3] + b"\x00")

    assert drive(put_list(link(max_send_pdu=size), ITEMS), exchange) == (None, None, None)
    assert [request[1] for request in requests] == kinds
    assert all(len(request) <= size for request in requests)


def test_list_refused_as_a_whole_goes_one_by_one() -> None:
    requests, exchange = asked("C5 01 C1 FA", "C5 01 C2 00", "C5 01 C3 03", "D8 01 02")
    found = drive(put_list(link(), ITEMS), exchange)
    assert [item and item.code for item in found] == [None, "peer-access", "peer-exception"]
    assert len(requests) == 4


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param("", "peer-closed", id="closed"),
        pytest.param("C5 05 C1 02 00 00", "peer-unexpected", id="one-result-short"),
        pytest.param("C5 05 C1 03 00 00", "peer-unexpected", id="cut-short"),
        pytest.param("C5 05 C1 85", "dlms-axdr", id="length"),
    ],
)
def test_list_of_which_it_is_not_known_what_was_taken_is_not_repeated(answer: str, code: str) -> None:
    requests, exchange = asked(answer)
    assert code_of(lambda: drive(put_list(link(), ITEMS), exchange)) in {code, "dlms-truncated"}
    assert len(requests) == 1


@given(st.lists(st.binary(max_size=12).map(lambda tail: b"\xc5" + tail) | st.binary(max_size=8), min_size=1, max_size=6))
def test_no_answer_raises_but_our_own(answers: list[bytes]) -> None:
    for session in (put(link(max_send_pdu=30), NAME, LONG), put_list(link(), ITEMS)):
        left = iter(answers)
        assert code_of(lambda session=session, left=left: drive(session, lambda _: next(left, b""))) in {None, *CODES}  # type: ignore[misc]  # a lambda's defaults


@pytest.mark.parametrize("size", range(1, 20))
def test_a_meter_that_takes_too_little_for_a_block_is_refused_by_name(size: int) -> None:
    requests, exchange = asked()
    assert code_of(lambda: drive(put(link(max_send_pdu=size), NAME, LONG), exchange)) == "peer-pdu-size"
    assert requests == []
