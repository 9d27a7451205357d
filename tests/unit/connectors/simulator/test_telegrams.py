"""Pushes as other people's code reads them: gurux's translator, `cryptography`, and captures of real meters."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from gurux_dlms import GXByteBuffer, GXDLMSTranslator

from connectors.simulator.config import Address, FleetConfig
from connectors.simulator.encoding import logical_name
from connectors.simulator.models import MODELS, Layout, MeterModel
from connectors.simulator.noise import KINDS, make_noise
from connectors.simulator.plan import MeterPlan, plan_fleet
from connectors.simulator.telegrams import (
    Telegram,
    apdu,
    event_values,
    framed,
    mbus,
    plain_apdu,
    register_values,
    secret_of,
    wrapper,
)
from schemas.records import Transport
from tests.unit.connectors.simulator.heads import open_general_glo

NOW = 1_790_000_000_000  # 2026-09-21T14:13:20Z
FLEET = plan_fleet(FleetConfig(Path("unused"), meters=300, unconfirmed_share=0.4, udp_to=Address("127.0.0.1", 1)))
TRANSLATED = [model for model in MODELS if model.layout is not Layout.DESCRIPTORS]  # gurux knows no untagged descriptors


def plan_of(model: MeterModel) -> MeterPlan:
    return next(plan for plan in FLEET if plan.model is model)


def named(model: MeterModel) -> str:
    return f"{model.vendor} {model.model}"


def registers(plan: MeterPlan) -> Telegram:
    return Telegram(NOW + plan.drift_ms, 0x00ABCD, register_values(plan, NOW), plan.model.confirmed)


def translated(message: bytes) -> str:
    return str(GXDLMSTranslator().pduToXml(GXByteBuffer(message)))


@pytest.mark.parametrize("model", TRANSLATED, ids=named)
def test_gurux_reads_what_was_meant(model: MeterModel) -> None:
    plan = plan_of(model)
    telegram = registers(plan)
    xml = translated(plain_apdu(plan, telegram))
    assert f'<LongInvokeIdAndPriority Value="{0x40000000 * model.confirmed + 0xABCD:08X}" />' in xml
    numbers = [int(value, 16) for value in re.findall(r'<UInt(?:16|32) Value="([0-9A-F]+)"', xml)]
    wanted = [value.raw for value in telegram.values if isinstance(value.raw, int)]
    assert [number for number in numbers if number in wanted][-len(wanted) :] == wanted
    for value in telegram.values:
        if isinstance(value.raw, str):
            assert value.raw.encode().hex().upper() in xml
        if model.layout is not Layout.HAN_POSITIONAL:
            assert logical_name(value.obis).hex().upper() in xml


@pytest.mark.parametrize("model", [model for model in MODELS if model.ciphered], ids=named)
def test_ciphered_telegrams_verify_and_say_the_same(model: MeterModel) -> None:
    plan = plan_of(model)
    sealed = [apdu(plan, registers(plan), secret_of(plan), counter) for counter in (77, 78)]
    assert sealed[0] != sealed[1]
    for counter, message in zip((77, 78), sealed, strict=True):
        assert message[:10] == b"\xdb\x08" + plan.system_title
        assert counter.to_bytes(4, "big") in message[11:18]
        assert open_general_glo(message, plan.encryption_key, plan.authentication_key) == plain_apdu(plan, registers(plan))


def crc_x25(octets: bytes) -> int:
    """CRC-16/X.25 (ISO/IEC 13239, FCS): reflected 0x1021, preset and inverted."""
    value = 0xFFFF
    for octet in octets:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return value ^ 0xFFFF


@pytest.mark.parametrize("model", [model for model in MODELS if model.transport is Transport.HDLC], ids=named)
def test_hdlc_segments_carry_the_apdu_and_right_checksums(model: MeterModel) -> None:
    plan = plan_of(model)
    message = apdu(plan, registers(plan), None)
    rest, pieces, more = framed(Transport.HDLC, message, segment=64), b"", []
    while rest:
        length = int.from_bytes(rest[1:3], "big") & 0x7FF
        frame, rest = rest[1 : length + 1], rest[length + 2 :]
        more.append(bool(frame[0] & 0x08))
        assert frame[0] & 0xF0 == 0xA0
        assert frame[4] == 0x13
        assert crc_x25(frame[:5]) == int.from_bytes(frame[5:7], "little")
        assert crc_x25(frame[:-2]) == int.from_bytes(frame[-2:], "little")
        pieces += frame[7:-2]
    assert crc_x25(b"123456789") == 0x906E  # the published check value
    assert pieces == b"\xe6\xe7\x00" + message
    assert more == [True] * (len(more) - 1) + [False]
    assert len(more) > 1


def test_an_mbus_telegram_is_long_frames_with_their_checksums() -> None:
    message = bytes(range(256)) * 3
    rest, pieces, controls = mbus(message), b"", []
    while rest:
        length = rest[1]
        frame, rest = rest[: length + 6], rest[length + 6 :]
        assert (frame[0], frame[2], frame[3], frame[-1]) == (0x68, length, 0x68, 0x16)
        assert frame[-2] == sum(frame[4:-2]) & 0xFF
        controls.append(frame[6])
        pieces += frame[9:-2]
    assert pieces == message
    assert controls == [0x00, 0x01, 0x02, 0x13]


def shape(xml: str) -> list[str]:
    """The types of a notification body, in order."""
    return re.findall(r"<(Structure|Array|OctetString|String|Enum|UInt\d+|Int\d+)\b", xml)


def capture(folder: Path, name: str) -> bytes:
    return bytes.fromhex((folder / "dlms-push" / f"{name}.hex").read_text().replace("\n", ""))


def test_the_kaifa_list_has_the_shape_of_a_real_one(captures_dir: Path) -> None:
    real = capture(captures_dir, "hdlc_kaifa_ma304h3e")
    plan = next(plan for plan in FLEET if plan.model.layout is Layout.HAN_POSITIONAL)
    assert shape(translated(plain_apdu(plan, registers(plan)))) == shape(
        translated(real[12:17] + real[18:-3])
    )  # the time without its tag


def test_the_kamstrup_list_has_the_shape_of_a_real_one(captures_dir: Path) -> None:
    folder = captures_dir / "dlms-push"
    keys = [bytes.fromhex((folder / f"hdlc_kamstrup_omnipower.{name}").read_text().strip()) for name in ("guek", "gak")]
    real = open_general_glo(capture(captures_dir, "hdlc_kamstrup_omnipower")[11:-3], keys[0], keys[1])
    plan = next(plan for plan in FLEET if plan.model.layout is Layout.FLAT)
    ours = shape(translated(plain_apdu(plan, registers(plan))))
    theirs = shape(translated(real))
    assert ours[:14] == theirs[:14]
    assert set(ours) == set(theirs)


def test_described_values_begin_as_a_real_egd_telegram_does(captures_dir: Path) -> None:
    real = capture(captures_dir, "raw_egd_example")
    plan = next(plan for plan in FLEET if plan.model.layout is Layout.DESCRIPTORS)
    ours = plain_apdu(plan, registers(plan))
    assert real[6:11] == b"\x02\x02\x16\x01\x01"
    assert ours[18:23] == real[6:11]
    assert real[12:23] in ours  # the descriptor of 0.0.42.0.0.255 within a structure of two


def test_an_event_is_small_and_says_who_and_what() -> None:
    for model in (model for model in MODELS if model.alarms):
        plan = plan_of(model)
        message = plain_apdu(plan, Telegram(NOW, 1, event_values(plan, "0.0.96.11.0.255", 1), confirmed=True))
        assert len(message) < 120
        assert logical_name("0.0.96.11.0.255") in message
        assert plan.model.ciphered or plan.logical_device_name.encode() in message


@pytest.mark.parametrize("what", KINDS)
@pytest.mark.parametrize("model", [model for model in MODELS if model.confirmed], ids=named)
def test_noise_is_wrong_in_the_way_it_says(what: str, model: MeterModel) -> None:
    plan = plan_of(model)
    telegram = registers(plan)
    noise = make_noise(what, plan, telegram, 99, random.Random(5))  # noqa: S311 - noise
    good = wrapper(apdu(plan, replace(telegram, confirmed=False), secret_of(plan), 99))
    match what:
        case "bad-truncated":
            assert good.startswith(noise.content)
            assert 8 < len(noise.content) < len(good)
        case "bad-checksum":
            assert noise.content[0] == noise.content[-1] == 0x7E
            assert (int.from_bytes(noise.content[1:3], "big") & 0x7FF) == len(noise.content) - 2
        case "bad-key":
            with pytest.raises(InvalidTag):
                open_general_glo(noise.content[8:], plan.encryption_key, plan.authentication_key)
        case "bad-oversized":
            assert noise.content[10:15] == b"\x84\x7f\xff\xff\xff"
        case "unknown-meter" | "unknown-key":
            assert noise.meter not in {known.id for known in FLEET}
            assert plan.serial.encode() not in noise.content
            assert (noise.content[8] == 0xDB) is (what == "unknown-key")
        case _:
            assert noise.content[:2] != b"\x00\x01"
            assert noise.content[0] not in (0x7E, 0x68, 0x0F, 0xC2, 0xDB, 0xDC, 0xDD, 0xDF, 0xE0)
