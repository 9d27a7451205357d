"""Telegrams of the field and sessions by hand: what is written to meters, and an alert by the Indian companion standard."""

from __future__ import annotations

import pytest

from connectors.protocols.dlms.alarms import alarms_of
from connectors.protocols.dlms.telegram import Telegram
from tests.unit.connectors.protocols.dlms.test_field_telegrams import TEMPLATES, one, read, wrapped


@pytest.mark.parametrize(
    ("apdu", "name", "source", "given"),
    [
        pytest.param("C101C100030100010800FF020006000000FF", "set-request", "3/1.0.1.8.0.255/2", (255,), id="set"),
        pytest.param("C301C10046000060030AFF01010F00", "action-request", "70/0.0.96.3.10.255/1", (0,), id="action"),
        pytest.param("C301C10046000060030AFF0100", "action-request", "70/0.0.96.3.10.255/1", (), id="action without data"),
        pytest.param("C101C1000F0000280000FF0700090431323334", "set-request", "15/0.0.40.0.0.255/7", (), id="a secret"),
    ],
)
def test_what_is_written_in_a_session(apdu: str, name: str, source: str, given: tuple[int, ...]) -> None:
    (telegram,) = read(wrapped(apdu))
    assert isinstance(telegram, Telegram)
    assert (telegram.apdu, telegram.source, telegram.unnamed) == (name, source, given)
    assert b"1234" not in telegram.plain


# -- an alert by the Indian companion standard, published with the driver of a modem for meters of LONGi

INDIAN_ALERT = bytes.fromhex(
    "000100010066004D 0F00000000 0C07E70903070A340EFFFF4C00 0204 090E50435235343030303030303030 30 0906 0004190900FF"
    "090C07E7090307091D0DFFFF4C00 048180 00000000000000000000130000000000".replace(" ", "")
)


def test_the_event_status_word_of_an_alert() -> None:
    telegram = one(INDIAN_ALERT, "india")
    assert (telegram.source, telegram.unnamed) == ("40/0.4.25.9.0.255/1", ())
    assert [value.obis for value in telegram.values] == ["0.0.42.0.0.255", "0.0.1.0.0.255", "0.0.94.91.18.255"]
    facts = alarms_of(telegram, TEMPLATES["india"].push)
    assert [(fact.code, fact.kind) for fact in facts] == [("83", "TAMPER_COVER"), ("86", "RESTORATION"), ("87", "DEVICE")]
