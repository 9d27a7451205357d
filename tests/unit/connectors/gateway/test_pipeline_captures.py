"""What real telegrams come to, from the octets of a connection."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connectors.gateway.conversation import Conversation, octets_pushes
from connectors.gateway.keystore import MeterKeys
from schemas.records import Identity, IdentityKind, RegisterReadings, Transport
from tests.unit.connectors.gateway.builders import ENDPOINT, NOW, meter, pipeline


@dataclass(frozen=True)
class Capture:
    """A real telegram and how its meter is registered."""

    name: str
    template: str
    kind: IdentityKind
    identity: str
    transport: Transport
    zone: str = ""


CAPTURES = [
    Capture("hdlc_iskra550", "iskra", IdentityKind.SERIAL, "84895126", Transport.HDLC),
    Capture("hdlc_kaifa_ma304h3e", "kaifa-han", IdentityKind.SERIAL, "6970631401753985", Transport.HDLC, "Europe/Oslo"),
    Capture("hdlc_kamstrup_omnipower", "kamstrup", IdentityKind.SYSTEM_TITLE, "4B414D4501349083", Transport.HDLC),
    Capture("hdlc_landis_gyr_e450", "landis-gyr", IdentityKind.SYSTEM_TITLE, "4C475A677370B177", Transport.HDLC, "UTC"),
    Capture("hdlc_norway_han_3phase", "aidon-han", IdentityKind.ENDPOINT, "10.0.0.7", Transport.HDLC, "Europe/Oslo"),
    Capture("raw_egd_example", "egd", IdentityKind.LOGICAL_DEVICE_NAME, "EGD012345", Transport.RAW),
    Capture("raw_salzburg_netz", "salzburg", IdentityKind.SERIAL, "1KFM0200234804", Transport.RAW),
]


def octets(folder: Path, name: str) -> bytes:
    return bytes.fromhex((folder / "dlms-push" / name).read_text())


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture.name)
@pytest.mark.parametrize("size", [1_000_000, 7], ids=["at-once", "in-pieces"])
def test_a_captured_telegram_becomes_its_meters_readings(captures_dir: Path, capture: Capture, size: int) -> None:
    folder = captures_dir / "dlms-push"
    expected = json.loads((folder / f"{capture.name}.expected.json").read_text())
    keys = {}
    if (folder / f"{capture.name}.guek").exists():
        keys["ref"] = MeterKeys(octets(captures_dir, f"{capture.name}.guek"), octets(captures_dir, f"{capture.name}.gak"))
    registered = meter(
        "m1", Identity(capture.kind, capture.identity), template=capture.template, key_ref="ref", time_zone=capture.zone
    )
    conversation = Conversation(pipeline(registered, keys=keys), ENDPOINT)
    data = octets(captures_dir, f"{capture.name}.hex")
    pushes = [push for at in range(0, len(data), size) for push in conversation.feed(data[at : at + size], NOW)]
    assert conversation.close(NOW) == []
    (push,) = pushes
    assert push.letter is None
    (made,) = push.events
    assert isinstance(made, RegisterReadings)
    assert made.meter_id == "m1"
    for got, wanted in zip(made.registers, expected["values"], strict=True):
        assert (got.obis, got.value) == (wanted["obis"], wanted["raw"])
        if "scaler" in wanted:
            assert (got.scaler, got.unit) == (wanted["scaler"], wanted["unit"])
    if expected["meter_time"]:
        stated = datetime.fromisoformat(expected["meter_time"])
        zone = ZoneInfo(capture.zone) if capture.zone else UTC
        assert made.captured_at == (stated if stated.tzinfo else stated.replace(tzinfo=zone)).timestamp() * 1000
    assert push.frames.transport is capture.transport
    assert push.frames.meter_id == "m1"
    assert set(data) >= set(b"".join(frame.data for frame in push.frames.frames))


def test_a_captured_telegram_without_its_key_names_its_system_title(captures_dir: Path) -> None:
    (push,) = octets_pushes(pipeline(), octets(captures_dir, "mbus_kmswest.hex"), ENDPOINT, NOW)
    assert push.letter is not None
    assert push.letter.code == "key-missing"
    assert "454C536570000001" in push.letter.detail
    assert push.announced is not None
    assert push.announced.identities == (Identity(IdentityKind.SYSTEM_TITLE, "454C536570000001"),)
