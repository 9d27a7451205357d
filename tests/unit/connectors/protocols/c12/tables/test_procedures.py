"""Procedures: octets of tables 7 and 8 as the standard writes them, and what comes back."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from connectors.protocols.c12.errors import C12Error, DecodeError, PeerError
from connectors.protocols.c12.tables.catalog import STANDARD
from connectors.protocols.c12.tables.clock import Clock, Keeps
from connectors.protocols.c12.tables.declarations import Catalog
from connectors.protocols.c12.tables.declared import declared
from connectors.protocols.c12.tables.model import Model
from connectors.protocols.c12.tables.procedures import (
    NEVER,
    clock_setting,
    initiate,
    load_control,
    read_request,
    read_result,
    require,
    respond,
)
from connectors.protocols.c12.tables.standard_procedures import PROCEDURES, REMOTE_RESET, UPDATE_LAST_READ_ENTRY
from connectors.protocols.c12.tables.values import Record, Value
from tests.unit.connectors.protocols.c12.tables.meters import model, table0

RESET = Record({"ACTION_FLAG": Record({"DEMAND_RESET_FLAG": True, "SELF_READ_FLAG": True})})

REQUESTS: list[tuple[str, int, Record | bytes, str]] = [
    ("cold start", 0, Record({}), "000005"),
    ("reset list pointers", 4, Record({"LIST": 1}), "04000501"),
    ("last read entry", 5, Record({"LIST": 3, "ENTRIES_READ": 258}), "050005030201"),
    ("demand reset and self read", 9, RESET, "09000503"),
    ("octets", 22, b"\x01\x02", "1600050102"),
    ("a manufacturer's", 2060, b"\x07", "0c080507"),
]


@pytest.mark.parametrize(
    ("number", "parameters", "octets"), [case[1:] for case in REQUESTS], ids=[case[0] for case in REQUESTS]
)
def test_requests(number: int, parameters: Record | bytes, octets: str) -> None:
    known = model()
    written = initiate(known, number, parameters, 5)
    assert written.hex() == octets
    back = read_request(written, known)
    assert (back.number, back.sequence, back.selector) == (number, 5, 0)
    if isinstance(parameters, bytes):
        assert (back.parameters, back.rest) == (None, parameters)
    else:
        assert back.rest == b""


def test_numbers_in_the_byte_order_of_the_meter() -> None:
    known = Model.of(table0("big"))
    octets = initiate(known, UPDATE_LAST_READ_ENTRY, Record({"LIST": 3, "ENTRIES_READ": 258}), 1, NEVER)
    assert octets.hex() == "200501030102"
    assert read_request(octets, known).selector == NEVER


UTC_NOON = int(datetime(2024, 7, 1, 16, 0, 30, tzinfo=UTC).timestamp())


def test_setting_the_clock() -> None:
    known = model(table0(), t52=bytes((24, 6, 30, 12, 0, 0, 0x60)))
    number, parameters = clock_setting(known, UTC_NOON, Clock(ZoneInfo("America/New_York"), Keeps.LOCAL))
    octets = initiate(known, number, parameters, 7)
    assert octets.hex() == "0a0007" + "07" + "180701" + "0c001e" + "69"  # a Monday, in daylight saving time
    answer = read_result(bytes.fromhex("0a000700" + "1807010c0000" + "1807010c001e"), known, (10, 7))
    assert answer.response is not None
    assert [str(child.value) for child in answer.response.children] == ["2024-07-01 12:00:00", "2024-07-01 12:00:30"]


def test_setting_the_clock_of_a_meter_that_keeps_utc() -> None:
    known = Model.of(table0(tm=4))
    number, parameters = clock_setting(known, UTC_NOON, Clock(keeps=Keeps.UTC))
    assert initiate(known, number, parameters, 7).hex() == "0a0007" + "07" + UTC_NOON.to_bytes(4, "little").hex() + "11"


def test_load_control() -> None:
    known = model(t111=bytes((1, 0, 6)))
    number, parameters = load_control(known, 100, frozenset((0, 5)), 3723)
    assert initiate(known, number, parameters, 1).hex() == "150001" + "64" + "21" + "010203"
    number, parameters = load_control(model(t111=bytes((0, 0, 9))), 0, frozenset((8,)))
    assert initiate(model(t111=bytes((0, 0, 9))), number, parameters, 1).hex() == "150001" + "00" + "0001"


@pytest.mark.parametrize(
    ("limits", "points", "seconds"),
    [((1, 0, 2), (2,), 0), ((1, 0, 2), (), 0), ((0, 0, 2), (0,), 5), ((1, 0, 2), (0,), 256 * 3600)],
    ids=["no such point", "no point", "no durations", "too long"],
)
def test_load_control_that_a_meter_cannot_do(limits: tuple[int, ...], points: tuple[int, ...], seconds: int) -> None:
    with pytest.raises(DecodeError) as error:
        load_control(model(t111=bytes(limits)), 100, frozenset(points), seconds)
    assert error.value.code == "table-value"


RESULTS = [(0, True, False), (1, False, False), (2, False, False), (4, False, True), (5, False, False), (200, False, False)]


@pytest.mark.parametrize(("code", "done", "retry"), RESULTS)
def test_results(code: int, done: bool, retry: bool) -> None:
    known = model()
    result = read_result(respond(known, REMOTE_RESET, 5, code), known, (REMOTE_RESET, 5))
    assert (result.done, result.code, result.response) == (done, code, None)
    if done:
        assert require(result) is result
        return
    with pytest.raises(PeerError) as error:
        require(result)
    assert (error.value.code, error.value.retry, error.value.response) == ("procedure-result", retry, code)
    assert result.meaning in error.value.detail


def test_the_answer_of_a_reset() -> None:
    known = model()
    octets = respond(known, REMOTE_RESET, 5, 0, Record({"SUCCESS_FLAG": Record({"DEMAND_RESET_FLAG": True})}))
    assert octets.hex() == "0900050001"
    result = read_result(octets + b"\xaa", known)
    assert result.response is not None
    assert result.rest == b"\xaa"
    assert result.response.value == {"SUCCESS_FLAG": {
        "DEMAND_RESET_FLAG": True, "SELF_READ_FLAG": False, "SEASON_CHANGE_FLAG": False, "NEW_SEASON": 0}}  # fmt: skip


@pytest.mark.parametrize(("number", "sequence"), [(9, 6), (10, 5)], ids=["another sequence", "another procedure"])
def test_the_result_of_another_request(number: int, sequence: int) -> None:
    known = model()
    with pytest.raises(PeerError) as error:
        read_result(respond(known, number, sequence, 0), known, (9, 5))
    assert (error.value.code, error.value.retry) == ("peer-unexpected", True)


def broken() -> dict[str, tuple[int, Value, int, str]]:
    return {
        "not listed": (30, b"", 1, "table-not-listed"),
        "not declared": (22, Record({"X": 1}), 1, "table-unknown"),
        "a field too many": (4, Record({"LIST": 1, "X": 1}), 1, "table-value"),
        "a field missing": (4, Record({}), 1, "table-value"),
        "a value too big": (4, Record({"LIST": 256}), 1, "table-value"),
        "parameters too long": (22, bytes(21), 1, "table-value"),
        "a sequence number too big": (0, b"", 256, "table-value"),
    }


@pytest.mark.parametrize("name", broken())
def test_requests_that_cannot_be_made(name: str) -> None:
    number, parameters, sequence, code = broken()[name]
    assert isinstance(parameters, (Record, bytes))
    with pytest.raises(DecodeError) as error:
        initiate(model(), number, parameters, sequence)
    assert error.value.code == code


@pytest.mark.parametrize("octets", ["", "09", "0900", "090005", "0a0005000102"])
def test_results_cut_short(octets: str) -> None:
    with pytest.raises(C12Error) as error:
        read_result(bytes.fromhex(octets), model())
    assert error.value.code == "table-size"


def test_a_manufacturers_procedure() -> None:
    own = declared(
        {"procedures": {2060: {"title": "Switch", "request": [{"STATE": "UINT16"}], "response": [{"NOW": "UINT8"}]}}}
    )
    known = Model.of(table0(), STANDARD.extended(own))
    assert initiate(known, 2060, Record({"STATE": 1}), 2).hex() == "0c08020100"
    assert read_result(bytes.fromhex("0c08020004"), known).response is not None
    assert isinstance(own, Catalog)


def test_every_standard_procedure_has_a_title() -> None:
    assert all(procedure.title for procedure in PROCEDURES.values())
    assert {0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 21} <= set(PROCEDURES)
