"""A client's sessions, service by service: what is asked, and what each answer comes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connectors.protocols.c12 import c1221
from connectors.protocols.c12.c1221 import Key, Offered, encipher, offered
from connectors.protocols.c12.errors import CODES, C12Error, PeerError
from connectors.protocols.c12.psem_session import (
    CLOSED,
    Opened,
    Session,
    User,
    close_session,
    open_session,
    read_elements,
    read_table,
    read_whole,
    stay,
    write_table,
    write_whole,
)
from connectors.protocols.c12.psem_timing import DEFAULTS, Agreed
from connectors.protocols.c12.responses import Feature, Identified

USER = User(2, "user", b"hush")


def play(session: Session[Any], *answers: str) -> tuple[list[str], Any]:
    """What the session asked, in hex, and what it returned or raised; "closed" is the end of the connection."""
    asked = []
    try:
        asked.append(next(session).hex())
        for answer in answers:
            sent = CLOSED if answer == "closed" else bytes.fromhex(answer)
            asked.append(session.send(sent).hex())
    except StopIteration as end:
        return asked, end.value
    except C12Error as error:
        return asked, error
    raise AssertionError(f"it goes on asking: {asked}")


IDENTIFY, LOGON, SECURITY = "20", "500002" + b"user      ".hex(), "51" + b"hush".hex() + "00" * 16
NEGOTIATE = "60040008"


def test_open() -> None:
    asked, opened = play(open_session(USER), "00 00 02 00 00", "00 0400 04 06", "00", "00")
    assert asked == [IDENTIFY, NEGOTIATE, LOGON, SECURITY]
    assert opened == Opened(Identified(0, 2, 0), Agreed(1024, 4, 9600))


def test_open_where_everybody_may_read() -> None:
    asked, opened = play(open_session(User(2, "user"), None), "00 00 02 00 00", "00")
    assert asked == [IDENTIFY, LOGON]
    assert opened.agreed == DEFAULTS


def test_open_where_the_meter_does_not_negotiate() -> None:
    asked, opened = play(open_session(USER), "00 00 01 00", "02", "00", "00")
    assert asked == [IDENTIFY, NEGOTIATE, LOGON, SECURITY]
    assert opened.agreed == DEFAULTS


def test_the_late_answer_of_an_earlier_session_is_passed_over() -> None:
    asked, opened = play(open_session(USER, None), "00", "00 00 02 00 00", "00", "00")
    assert asked == [IDENTIFY, "", LOGON, SECURITY]
    assert opened.identified == Identified(0, 2, 0)


PATHS: list[tuple[str, Callable[[], Session[Any]], list[str], str, str]] = [
    ("busy at identify", lambda: open_session(USER), ["06"], "psem-response", "identify: the meter answered bsy"),
    ("negotiate refused", lambda: open_session(USER), ["0000020000", "06"], "psem-response", "negotiate: "),
    ("unknown user", lambda: open_session(USER, None), ["0000020000", "01"], "psem-response", "logon of user 2: "),
    ("wrong password", lambda: open_session(USER, None), ["0000020000", "00", "03"], "psem-response", "security: "),
    ("closed at once", lambda: open_session(USER), ["closed"], "peer-closed", "identify: "),
    ("closed in negotiate", lambda: open_session(USER), ["0000020000", "closed"], "peer-closed", "negotiate: "),
    ("a request for an answer", lambda: read_table(1), ["300001"], "psem-service-unknown", "30"),
    ("an answer to something else", lambda: write_table(7, b"x"), ["000000"], "peer-unexpected", "write of table 7: "),
    ("checksum", lambda: read_table(1), ["00 0001 41 00"], "psem-checksum", "table 1: "),
    ("more than asked for", lambda: read_table(1, 0, 1), ["00 0002 4142 7D"], "psem-malformed", "table 1, 1 octets from 0"),
    ("cut", lambda: read_table(1), ["00 0009 41 BF"], "psem-truncated", "response: "),
    ("a table that is not there", lambda: read_table(99), ["05"], "psem-response", "table 99: the meter answered iar"),
    ("data not ready", lambda: read_table(64), ["07"], "psem-response", "table 64: the meter answered dnr"),
    ("a part of nothing", lambda: read_whole(1, DEFAULTS, 100), ["00 0000 00"], "psem-malformed", "table 1: 0 octets"),
    (
        "refused, its size unknown",
        lambda: read_whole(1, DEFAULTS),
        ["04"],
        "psem-response",
        "table 1: the meter answered onp",
    ),
]


@pytest.mark.parametrize(("session", "answers", "code", "begins"), [row[1:] for row in PATHS], ids=[row[0] for row in PATHS])
def test_what_goes_wrong(session: Callable[[], Session[Any]], answers: list[str], code: str, begins: str) -> None:
    _, error = play(session(), *answers)
    assert isinstance(error, C12Error)
    assert error.code == code
    assert code in CODES
    assert error.detail.startswith(begins)
    assert "hush" not in error.detail


@pytest.mark.parametrize(("answer", "retry"), [("06", True), ("07", True), ("08", True), ("0A", True), ("03", False)])
def test_what_is_worth_another_try(answer: str, retry: bool) -> None:
    _, error = play(read_table(1), answer)
    assert isinstance(error, PeerError)
    assert (error.retry, error.response) == (retry, int(answer, 16))


def test_reads() -> None:
    assert play(read_table(1), "00 0002 4142 7D") == (["300001"], b"AB")
    assert play(read_table(64, 0x10, 4), "00 0002 4142 7D") == (["3f00400000100004"], b"AB")
    assert play(read_elements(23, (1, 2), 1), "00 0001 41 BF") == (["320017000100020001"], b"A")


SMALL = Agreed(packet_size=18, packets=1)  # ten octets at once: six of a table read, one of a table written


def test_a_table_beyond_what_was_negotiated_is_read_in_parts() -> None:
    asked, data = play(read_whole(5, SMALL, 8), "00 0006 010203040506 EB", "00 0002 0708 F1")
    assert asked == ["3f00050000000006", "3f00050000060002"]
    assert data == bytes(range(1, 9))


def test_a_table_that_the_meter_cannot_give_at_once_is_read_in_parts() -> None:
    asked, data = play(read_whole(5, SMALL, 2), "04", "00 0001 41 BF", "00 0001 42 BE")
    assert asked == ["300005", "3f00050000000002", "3f00050000010001"]
    assert data == b"AB"


def test_writes() -> None:
    assert play(write_table(7, b"A"), "00") == (["4000070001 41 bf".replace(" ", "")], None)
    assert play(write_table(7, b"A", 2), "00")[0] == ["4f0007000002000141bf"]
    assert play(write_whole(7, b"A", SMALL), "00")[0] == ["400007000141bf"]
    assert play(write_whole(7, b"AB", SMALL), "00", "00")[0] == ["4f0007000000000141bf", "4f0007000001000142be"]


def test_a_write_refused_in_the_middle_ends_there() -> None:
    asked, error = play(write_whole(7, b"ABC", SMALL), "00", "08")
    assert len(asked) == 2
    assert error.code == "psem-response"


def test_wait() -> None:
    assert play(stay(60), "00") == (["703c"], None)


@pytest.mark.parametrize(
    ("logged_on", "answers", "asked"),
    [
        (True, ["00", "00"], ["52", "21"]),
        (True, ["0A", "0A"], ["52", "21"]),
        (True, ["closed"], ["52"]),
        (False, ["00"], ["21"]),
    ],
)
def test_close_says_what_it_must_and_minds_nothing(logged_on: bool, answers: list[str], asked: list[str]) -> None:
    assert play(close_session(logged_on=logged_on), *answers) == (asked, None)


# -- C12.21

DES_KEY = Key(1, bytes.fromhex("133457799BBCDFF1"))
TICKET = bytes.fromhex("0123456789ABCDEF")
ENCIPHERED = bytes.fromhex("85E813540F0AB405")
"""The worked example that is printed in most introductions to DES."""
WITH_TICKET = "00 02 01 00 02 01 00 08 0123456789ABCDEF 00"
TIMING_SETUP = "711e010403"


def test_des() -> None:
    assert encipher(DES_KEY, TICKET) == ENCIPHERED


@pytest.mark.parametrize(
    ("key", "clear", "enciphered"),
    [
        ("0000000000000000", "0000000000000000", "8CA64DE9C1B123A7"),
        ("FFFFFFFFFFFFFFFF", "FFFFFFFFFFFFFFFF", "7359B2163E4EDC58"),
        ("3000000000000000", "1000000000000001", "958E6E627A05557B"),
        ("0123456789ABCDEF", "1111111111111111", "17668DFC7292532D"),
        ("FEDCBA9876543210", "0123456789ABCDEF", "ED39D950FA74BCC4"),
    ],
)
def test_des_published_vectors(key: str, clear: str, enciphered: str) -> None:
    assert encipher(Key(1, bytes.fromhex(key)), bytes.fromhex(clear)) == bytes.fromhex(enciphered)


def test_open_with_a_key() -> None:
    proof = encipher(DES_KEY, ENCIPHERED).hex()
    answers = [WITH_TICKET, "00 3C 02 05 02", "00 0100 04", "00", "00 09 01" + proof]
    asked, opened = play(c1221.open_session(User(2, "user"), DES_KEY), *answers)
    assert asked == [IDENTIFY, TIMING_SETUP, NEGOTIATE, LOGON, "530901" + ENCIPHERED.hex()]
    assert opened.agreed == Agreed(256, 4)


def test_open_with_a_password_where_the_meter_knows_no_timing_setup() -> None:
    asked, _ = play(c1221.open_session(USER, propose=None), "00 02 01 00 00", "02", "00", "00")
    assert asked == [IDENTIFY, TIMING_SETUP, LOGON, SECURITY]


NO_PROPOSAL = [WITH_TICKET, "02", "00"]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (["00 02 01 00 00", "02", "00"], "psem-ticket"),
        (["00 02 01 00 01 01 00 00", "02", "00"], "psem-ticket"),
        (["00 02 01 00 02 01 FF 08 0123456789ABCDEF 00", "02", "00"], "psem-ticket"),
        (["00 02 01 00 02 01 00 04 01234567 00", "02", "00"], "psem-ticket"),
        ([*NO_PROPOSAL, "01"], "psem-response"),
        ([*NO_PROPOSAL, "closed"], "peer-closed"),
        ([*NO_PROPOSAL, "00 09 01" + ENCIPHERED.hex()], "peer-authentication"),
        ([*NO_PROPOSAL, "00 09 01 0000000000000000"], "peer-authentication"),
        ([*NO_PROPOSAL, "00 00"], "peer-authentication"),
        ([*NO_PROPOSAL, "00"], "psem-truncated"),
        ([WITH_TICKET, "closed"], "peer-closed"),
        ([WITH_TICKET, "06"], "psem-response"),
    ],
    ids=["no feature", "no ticket", "another algorithm", "a short ticket", "refused", "closed", "our proof sent back",
         "a wrong proof", "an empty proof", "no proof", "closed in timing setup", "timing setup refused"],
)  # fmt: skip
def test_authentication_that_fails(answers: list[str], code: str) -> None:
    _, error = play(c1221.open_session(User(2, "user"), DES_KEY, propose=None), *answers)
    assert isinstance(error, C12Error)
    assert error.code == code
    assert code in CODES
    assert DES_KEY.octets.hex() not in error.detail.lower()


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ((), None),
        ((Feature(6, b"\x80\0"),), None),
        ((Feature(1, b"\1\0"),), Offered(True, 0)),
        ((Feature(2, b"\0\xff\2ab"),), Offered(False, 0xFF, b"ab")),
    ],
)
def test_what_a_meter_offers(features: tuple[Feature, ...], expected: Offered | None) -> None:
    assert offered(Identified(2, 1, 0, features)) == expected


def test_a_key_of_another_size_is_none_and_keys_are_in_no_repr() -> None:
    with pytest.raises(C12Error) as raised:
        Key(1, bytes(16))
    assert raised.value.code == "psem-ticket"
    assert "13" not in repr(DES_KEY)
