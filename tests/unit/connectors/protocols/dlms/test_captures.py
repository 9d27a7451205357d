"""Telegrams of real meters say what is known of them (../shared/captures)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.protocols.dlms.axdr import Enum
from connectors.protocols.dlms.ciphering import KeyLookup, Keys
from connectors.protocols.dlms.decode import Assembler, decode_stream
from connectors.protocols.dlms.framing import PushStream
from connectors.protocols.dlms.push import identities
from connectors.protocols.dlms.telegram import Telegram, TelegramError, to_json
from connectors.templates.loader import load_templates

NAMES = (
    "hdlc_iskra550",
    "hdlc_kaifa_ma304h3e",
    "hdlc_kamstrup_omnipower",
    "hdlc_landis_gyr_e450",
    "hdlc_norway_han_3phase",
    "raw_egd_example",
    "raw_salzburg_netz",
)


def capture(folder: Path, name: str) -> tuple[bytes, KeyLookup]:
    def octets(suffix: str) -> bytes | None:
        path = folder / "dlms-push" / (name + suffix)
        return bytes.fromhex(path.read_text()) if path.exists() else None

    ek = octets(".guek")
    keys = Keys(ek, octets(".gak")) if ek is not None else None
    return octets(".hex") or b"", lambda _: keys


def said(telegram: Telegram) -> list[dict[str, Any]]:
    return [{"obis": v.obis, "raw": v.raw, "scaler": v.scaler, "unit": v.unit} for v in telegram.values]


def expected(folder: Path, name: str) -> tuple[str | None, list[dict[str, Any]]]:
    wanted = json.loads((folder / "dlms-push" / f"{name}.expected.json").read_text())
    values = [
        {"obis": v["obis"], "raw": v["raw"], "scaler": v.get("scaler"), "unit": v.get("unit")} for v in wanted["values"]
    ]
    return wanted["meter_time"], values


def only(found: list[Telegram | TelegramError]) -> Telegram:
    assert len(found) == 1
    assert isinstance(found[0], Telegram), found[0]
    return found[0]


@pytest.mark.parametrize("name", NAMES)
def test_capture(captures_dir: Path, name: str) -> None:
    octets, lookup = capture(captures_dir, name)
    telegram = only(list(decode_stream(octets, lookup, verify=True)))
    time, values = expected(captures_dir, name)
    assert said(telegram) == values
    assert (telegram.meter_time.iso if telegram.meter_time else None) == time
    assert all(type(v.raw) in (int, str) and not isinstance(v.raw, Enum) for v in telegram.values)
    assert telegram.authenticated is (telegram.system_title is not None)
    json.dumps(to_json(telegram), allow_nan=False)


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("name", NAMES)
def test_capture_in_pieces(captures_dir: Path, name: str, size: int) -> None:
    octets, lookup = capture(captures_dir, name)
    stream, assembler = PushStream(), Assembler(lookup)
    found = [
        result
        for at in range(0, len(octets), size)
        for item in stream.feed(octets[at : at + size])
        for result in assembler.read(item)
    ]
    found += [result for item in stream.close() for result in assembler.read(item)] + assembler.close()
    assert said(only(found)) == expected(captures_dir, name)[1]


TEMPLATES = {
    "hdlc_iskra550": "iskra",
    "hdlc_kaifa_ma304h3e": "han-norway",
    "hdlc_kamstrup_omnipower": "kamstrup",
    "hdlc_landis_gyr_e450": "idis",
    "hdlc_norway_han_3phase": "aidon-han",
    "raw_egd_example": "idis",
    "raw_salzburg_netz": "salzburg",
}


@pytest.mark.parametrize("name", NAMES)
def test_capture_under_its_template(captures_dir: Path, name: str) -> None:
    octets, lookup = capture(captures_dir, name)
    template = load_templates()[TEMPLATES[name]].push
    assert said(only(list(decode_stream(octets, lookup, template)))) == expected(captures_dir, name)[1]


IDENTITIES = {
    "hdlc_iskra550": ("iskra", [("SERIAL", "84895126")]),
    "hdlc_kaifa_ma304h3e": ("han-norway", [("SERIAL", "6970631401753985")]),
    "hdlc_kamstrup_omnipower": ("kamstrup", [("SYSTEM_TITLE", "4B414D4501349083"), ("SERIAL", "12343400")]),
    "raw_egd_example": ("egd", [("LOGICAL_DEVICE_NAME", "EGD012345"), ("SERIAL", "0123456789")]),
}


@pytest.mark.parametrize(("name", "template", "who"), [(n, *w) for n, w in IDENTITIES.items()], ids=IDENTITIES)
def test_identities(captures_dir: Path, name: str, template: str, who: list[tuple[str, str]]) -> None:
    octets, lookup = capture(captures_dir, name)
    push = load_templates()[template].push
    assert identities(only(list(decode_stream(octets, lookup, push))), push) == who


def test_template_gives_units(captures_dir: Path) -> None:
    octets, lookup = capture(captures_dir, "hdlc_landis_gyr_e450")
    telegram = only(list(decode_stream(octets, lookup, load_templates()["landis-gyr"].push)))
    assert {(v.obis, v.scaler, v.unit) for v in telegram.values} >= {("1.0.1.8.0.255", 0, "Wh"), ("1.0.3.7.0.255", 0, "var")}


def test_without_its_key(captures_dir: Path) -> None:
    octets, lookup = capture(captures_dir, "mbus_kmswest")
    (error,) = decode_stream(octets, lookup)
    assert isinstance(error, TelegramError)
    assert (error.code, error.system_title, error.transport) == ("key-missing", "454C536570000001", "MBUS")
    assert "454C536570000001" in error.detail


TITLES = {
    "hdlc_kamstrup_omnipower": bytes.fromhex("4B414D4501349083"),
    "hdlc_landis_gyr_e450": bytes.fromhex("4C475A677370B177"),
}


@pytest.mark.parametrize("name", TITLES)
def test_with_a_wrong_key(captures_dir: Path, name: str) -> None:
    octets, lookup = capture(captures_dir, name)
    ak = getattr(lookup(b""), "ak", None)
    for keys in (Keys(bytes(16), ak), Keys(bytes(16))):
        (error,) = decode_stream(octets, {TITLES[name]: keys}.get)
        assert isinstance(error, TelegramError)
        assert error.code == "cipher-authentication"


def test_without_the_authentication_key(captures_dir: Path) -> None:
    octets, lookup = capture(captures_dir, "hdlc_landis_gyr_e450")
    keys = lookup(b"")
    assert keys is not None
    assert not only(list(decode_stream(octets, lambda _: Keys(keys.ek)))).authenticated
    (error,) = decode_stream(octets, lambda _: Keys(keys.ek), verify=True)
    assert isinstance(error, TelegramError)
    assert error.code == "key-missing"
