"""GET: the octets of requests, answers normal, in blocks and with list, and each way in which they go wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zoneinfo import ZoneInfo

import pytest
from gurux_dlms.enums import DataType, Unit

from connectors.protocols.dlms.association import PROPOSED, Association, Conformance, associate
from connectors.protocols.dlms.client_apdus import CLOSED, DATA_ACCESS_RESULTS
from connectors.protocols.dlms.errors import CODES, PeerError
from connectors.protocols.dlms.get import Attribute, ByEntry, ByRange, Limits, datetime_octets, get, get_list
from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter, code_of, data, drive, register
from tests.unit.connectors.protocols.dlms.scripted import asked, link

IMPORT = Attribute(3, "1.0.1.8.0.255", 2)
PROFILE = Attribute(7, "1.0.99.1.0.255", 2)
OSLO = ZoneInfo("Europe/Oslo")
NOON = 1668250800000  # 2022-11-12T12:00+01:00


def script(*answers: str) -> Callable[[bytes], bytes]:
    """Answers in turn, whatever was asked."""
    left = [bytes.fromhex(answer) for answer in answers]
    return lambda _: left.pop(0)


def test_attribute_reads_what_it_writes() -> None:
    assert Attribute.parse("3/1.0.1.8.0.255/2") == IMPORT
    assert str(IMPORT) == "3/1.0.1.8.0.255/2"
    for wrong in ("3/1.0.1.8.0.255", "x/1.0.1.8.0.255/2", "3/1.0.1/2"):
        with pytest.raises(ValueError, match="expected"):
            Attribute.parse(wrong)


def test_normal() -> None:
    requests, exchange = asked("C4 01 C1 00 06 00 00 00 05")
    assert drive(get(link(), IMPORT), exchange) == bytes.fromhex("06 00 00 00 05")
    assert requests == ["C0 01 C1 00 03 01 00 01 08 00 FF 02 00"]


@pytest.mark.parametrize(
    ("selection", "octets"),
    [
        pytest.param(
            ByRange(datetime_octets(NOON, OSLO), datetime_octets(NOON + 900_000, OSLO)),
            "01 01 02 04 02 04 12 00 08 09 06 00 00 01 00 00 FF 0F 02 12 00 00 09 0C 07 E6 0B 0C 06 0C 00 00 00 FF C4 00 "
            "09 0C 07 E6 0B 0C 06 0C 0F 00 00 FF C4 00 01 00",
            id="range",
        ),
        pytest.param(
            ByRange(bytes(12), bytes(12), columns=(IMPORT,)),
            "01 01 02 04 02 04 12 00 08 09 06 00 00 01 00 00 FF 0F 02 12 00 00 09 0C "
            + "00 " * 12
            + "09 0C "
            + "00 " * 12
            + "01 01 02 04 12 00 03 09 06 01 00 01 08 00 FF 0F 02 12 00 00",
            id="range-of-columns",
        ),
        pytest.param(ByEntry(90, 96, 1, 3), "01 02 02 04 06 00 00 00 5A 06 00 00 00 60 12 00 01 12 00 03", id="entry"),
    ],
)
def test_selection(selection: ByRange | ByEntry, octets: str) -> None:
    requests, exchange = asked("C4 01 C1 00 01 00")
    drive(get(link(), PROFILE, selection), exchange)
    assert requests == [("C0 01 C1 00 07 01 00 63 01 00 FF 02 " + octets).strip()]


@pytest.mark.parametrize(
    ("utc_ms", "options", "octets"),
    [
        pytest.param(NOON, {}, "07E60B0C060C000000FFC400", id="winter"),
        pytest.param(1657637670000, {}, "07E6070C0210361E00FF8880", id="summer"),
        pytest.param(NOON, {"deviation": False}, "07E60B0C060C000000800000", id="no-deviation"),
        pytest.param(NOON, {"deviation_reversed": True}, "07E60B0C060C000000003C00", id="reversed"),
    ],
)
def test_datetime_octets(utc_ms: int, options: dict[str, bool], octets: str) -> None:
    assert datetime_octets(utc_ms, OSLO, **options).hex().upper() == octets


BLOCK_1, BLOCK_2 = "C4 02 C1 00 00 00 00 01 00 03 06 00 00", "C4 02 C1 01 00 00 00 02 00 02 00 05"


def test_blocks() -> None:
    requests, exchange = asked(BLOCK_1, BLOCK_2)
    assert drive(get(link(), IMPORT), exchange) == bytes.fromhex("06 00 00 00 05")
    assert requests[1] == "C0 02 C1 00 00 00 01"


def test_blocks_counted_from_zero() -> None:
    requests, exchange = asked("C4 02 C1 00 00 00 00 00 00 03 06 00 00", "C4 02 C1 01 00 00 00 01 00 02 00 05")
    assert drive(get(link(), IMPORT), exchange) == bytes.fromhex("06 00 00 00 05")
    assert requests[1] == "C0 02 C1 00 00 00 00"


def test_answers_to_earlier_requests_are_passed_over() -> None:
    requests, exchange = asked("C4 01 CF 00 06 00 00 00 09", "C4 01 C1 00 06 00 00 00 05")
    assert drive(get(link(), IMPORT), exchange) == bytes.fromhex("06 00 00 00 05")
    assert requests[1] == ""


@pytest.mark.parametrize(
    ("answers", "code", "says", "retry"),
    [
        pytest.param(
            ["C4 01 C1 01 04"],
            "peer-access",
            "3/1.0.1.8.0.255/2: data-access-result 4 (object-undefined)",
            False,
            id="undefined",
        ),
        pytest.param(["C4 01 C1 01 03"], "peer-access", "(read-write-denied)", False, id="denied"),
        pytest.param(["C4 01 C1 01 02"], "peer-access", "(temporary-failure)", True, id="temporary"),
        pytest.param(["C4 01 C1 01"], "peer-access", "(other-reason)", False, id="result-cut-off"),
        pytest.param(["C4 01 C1 01 63"], "peer-access", "99 (not in the standard)", False, id="unknown-result"),
        pytest.param(["D8 01 02"], "peer-exception", "service-not-supported", False, id="exception"),
        pytest.param(["D8 01 06 00 00 01 00"], "peer-exception", "256", True, id="exception-with-counter"),
        pytest.param(
            ["0E 05 03 02"],
            "peer-exception",
            "read: service, service-unsupported: this client has no such service",
            False,
            id="service-error",
        ),
        pytest.param(["C5 01 C1 00"], "peer-unexpected", "C5 01 C1", True, id="answer-to-a-set"),
        pytest.param(["C4 01 C1 00"], "peer-unexpected", "C4 01 C1", True, id="no-data"),
        pytest.param(["C4 03 C1 01 00 05"], "peer-unexpected", "C4 03 C1", True, id="list-for-one"),
        pytest.param(["C4 01 C2 00 00"] * 4, "peer-unexpected", "invoke-id", True, id="other-invoke-ids"),
        pytest.param([""], "peer-closed", "try again", True, id="closed"),
        pytest.param([BLOCK_1, ""], "peer-closed", "try again", True, id="closed-in-mid-block"),
        pytest.param([BLOCK_1, BLOCK_1], "peer-block", "block 1 came where 2 was due", True, id="block-twice"),
        pytest.param(
            [BLOCK_1, BLOCK_2.replace("00 02 00 02", "00 03 00 02")], "peer-block", "block 3", True, id="block-missing"
        ),
        pytest.param([BLOCK_2], "peer-block", "first block has number 2", True, id="starts-late"),
        pytest.param([BLOCK_1[:-3]], "peer-block", "3 octets was announced, 2 came", True, id="block-truncated"),
        pytest.param([BLOCK_1 + " 00"], "peer-block", "3 octets was announced, 4 came", True, id="block-overlong"),
        pytest.param(["C4 02 C1 00 00 00"], "peer-block", "no head", True, id="block-head-cut"),
        pytest.param(["C4 02 C1 00 00 00 00 01 00 85 FF"], "peer-block", "length", True, id="block-length-broken"),
        pytest.param([BLOCK_1, "C4 02 C1 01 00 00 00 02 01 0F"], "peer-access", "(long-get-aborted)", True, id="aborted"),
        pytest.param([BLOCK_1, "C4 01 C1 01 13"], "peer-access", "(data-block-number-invalid)", True, id="number-invalid"),
        pytest.param([BLOCK_1, "C4 01 C1 00 00"], "peer-unexpected", "C4 01", True, id="normal-in-mid-block"),
    ],
)
def test_refused(answers: Sequence[str], code: str, says: str, retry: bool) -> None:
    with pytest.raises(PeerError) as raised:
        drive(get(link(), IMPORT), script(*answers))
    assert (raised.value.code, raised.value.retry) == (code, retry)
    assert raised.value.detail.startswith(str(IMPORT))
    assert says in raised.value.detail
    assert code in CODES


@pytest.mark.parametrize("limits", [Limits(octets=100), Limits(blocks=20)], ids=["octets", "blocks"])
def test_a_meter_that_never_ends_is_stopped(limits: Limits) -> None:
    sent = 0

    def endless(_: bytes) -> bytes:
        nonlocal sent
        sent += 1
        return b"\xc4\x02\xc1\x00" + sent.to_bytes(4, "big") + b"\x00\x04\x00\x00\x00\x00"

    with pytest.raises(PeerError, match="shorter range"):
        drive(get(link(), PROFILE, limits=limits), endless)
    assert sent < 30


SERIAL = Attribute(1, "0.0.96.1.0.255", 2)
LISTED = "C4 03 C1 02 00 06 00 00 00 05 01 04"


def test_list() -> None:
    requests, exchange = asked(LISTED)
    value, refused = drive(get_list(link(), (IMPORT, SERIAL)), exchange)
    assert value == bytes.fromhex("06 00 00 00 05")
    assert isinstance(refused, PeerError)
    assert "1/0.0.96.1.0.255/2: data-access-result 4" in refused.detail
    assert requests == ["C0 03 C1 02 00 03 01 00 01 08 00 FF 02 00 00 01 00 00 60 01 00 FF 02 00"]


def test_list_in_blocks() -> None:
    exchange = script("C4 02 C1 00 00 00 00 01 00 05 02 00 06 00 00", "C4 02 C1 01 00 00 00 02 00 04 00 05 01 04")
    assert drive(get_list(link(), (IMPORT, SERIAL)), exchange)[0] == bytes.fromhex("06 00 00 00 05")


SINGLES = ("C4 01 C2 00 06 00 00 00 05", "C4 01 C3 01 04")


@pytest.mark.parametrize(
    "first",
    [
        pytest.param("C4 01 C1 01 FA", id="refused"),
        pytest.param("D8 01 02", id="exception"),
        pytest.param("C4 03 C1 01 00 06 00 00 00 05", id="one-result-missing"),
        pytest.param("C4 03 C1 02 00 06 00 00 00 05", id="cut-short"),
        pytest.param("C4 03 C1 02 00 06 00 00 00 05 02 04", id="garbled"),
        pytest.param("C4 03 C1 02 00 63 00", id="no-data"),
    ],
)
def test_list_falls_back_to_single_gets(first: str) -> None:
    open_link = link()
    value, refused = drive(get_list(open_link, (IMPORT, SERIAL)), script(first, *SINGLES))
    assert value == bytes.fromhex("06 00 00 00 05")
    assert isinstance(refused, PeerError)
    assert Conformance.MULTIPLE_REFERENCES not in open_link.conformance


def test_list_not_granted_is_not_asked_for() -> None:
    requests, exchange = asked("C4 01 C1 00 06 00 00 00 05", "C4 01 C2 00 00")
    drive(get_list(link(PROPOSED & ~Conformance.MULTIPLE_REFERENCES), (IMPORT, SERIAL)), exchange)
    assert [request[:5] for request in requests] == ["C0 01", "C0 01"]


def test_list_is_cut_to_what_the_meter_receives() -> None:
    requests, exchange = asked("C4 03 C1 02 00 00 00 00", "C4 03 C2 02 00 00 00 00")
    drive(get_list(link(max_send_pdu=30), (IMPORT, SERIAL, IMPORT, SERIAL)), exchange)
    assert [len(bytes.fromhex(request)) for request in requests] == [24, 24]


def test_list_of_a_meter_that_closes_is_raised() -> None:
    with pytest.raises(PeerError, match="closed"):
        drive(get_list(link(), (IMPORT, SERIAL)), lambda _: CLOSED)


def test_after_it_closed_the_next_association_has_no_lists() -> None:
    open_link = link()
    with pytest.raises(PeerError, match="no-lists to the quirks") as raised:
        drive(get_list(open_link, (IMPORT, SERIAL)), lambda _: CLOSED)
    assert (raised.value.code, raised.value.retry) == ("peer-closed", True)
    assert Conformance.MULTIPLE_REFERENCES not in open_link.conformance


LOST = tuple(map(Attribute.parse, ("3/1.0.1.8.0.255/2", "3/1.1.21.25.0.255/2", "1/0.0.42.0.0.255/2")))


def test_a_meter_that_loses_its_place_in_a_list() -> None:
    """gurux' server in C: what it does not know in a list makes it refuse the rest, too."""
    name = "09 10 47 52 58 30 30 30 30 30 30 30 31 32 33 34 35 36"
    open_link = link()
    requests, exchange = asked("C4 03 C1 03 01 04 01 04 01 04", "C4 01 C2 00 06 00 00 00 05", f"C4 01 C3 00 {name}")
    refused, value, named = drive(get_list(open_link, LOST), exchange)
    assert isinstance(refused, PeerError)
    assert (value, named) == (bytes.fromhex("06 00 00 00 05"), bytes.fromhex(name))
    assert [request[:5] for request in requests] == ["C0 03", "C0 01", "C0 01"]
    assert Conformance.MULTIPLE_REFERENCES not in open_link.conformance


def test_a_meter_that_keeps_its_place_is_asked_once_more_and_no_more() -> None:
    lists = "C4 03 C1 03 00 00 01 04 01 03", "C4 01 C2 01 03", "C4 03 C3 03 01 04 01 04 01 04"
    open_link = link()
    requests, exchange = asked(*lists)
    value, undefined, denied = drive(get_list(open_link, LOST), exchange)
    assert value == b"\0"
    assert ["4 (object-undefined)" in str(undefined), "3 (read-write-denied)" in str(denied)] == [True, True]
    assert all(isinstance(each, PeerError) for each in drive(get_list(open_link, LOST), exchange))
    assert [request[:5] for request in requests] == ["C0 03", "C0 01", "C0 03"]


def test_every_result_says_what_to_do() -> None:
    assert all(name and mend for name, mend, _ in DATA_ACCESS_RESULTS.values())


def test_any_prefix_of_an_answer_is_our_error_or_data() -> None:
    for whole in (LISTED, BLOCK_1, "C4 01 C1 00 06 00 00 00 05"):
        octets = bytes.fromhex(whole)
        for n in range(1, len(octets)):
            code = code_of(lambda part=octets[:n]: drive(get(link(), IMPORT), lambda _: part))  # type: ignore[misc]  # bound
            assert code in {None, *CODES}


def gurux() -> GuruxMeter:
    return GuruxMeter(
        [
            register("1.0.1.8.0.255", 123456, 0.1, Unit.ACTIVE_ENERGY),
            register("1.0.2.8.0.255", 5, 1, Unit.ACTIVE_ENERGY),
            data("0.0.96.1.0.255", bytes(range(256)) * 2, DataType.OCTET_STRING),
        ],
        denied=["1.0.2.8.0.255"],
    )


@pytest.mark.parametrize("size", [0xFFFF, 500, 100, 64], ids=lambda n: f"pdu-{n}")
def test_gurux_answers_in_blocks_as_its_pdu_size_asks(size: int) -> None:
    peer = gurux()
    open_link = drive(associate(Association(max_receive_pdu=size)), peer.exchange)
    assert drive(get(open_link, SERIAL), peer.exchange) == b"\x09\x82\x02\x00" + bytes(range(256)) * 2
    assert (len(peer.requests) > 2) == (size < 512)


@pytest.mark.parametrize(
    ("attribute", "says"),
    [
        pytest.param("3/1.0.9.9.9.255/2", "object-undefined", id="undefined"),
        pytest.param("3/1.0.2.8.0.255/2", "read-write-denied", id="denied"),
    ],
)
def test_gurux_refuses(attribute: str, says: str) -> None:
    peer = gurux()
    open_link = drive(associate(Association()), peer.exchange)
    with pytest.raises(PeerError, match=says):
        drive(get(open_link, Attribute.parse(attribute)), peer.exchange)
    assert drive(get(open_link, IMPORT), peer.exchange) == bytes.fromhex("06 00 01 E2 40")
