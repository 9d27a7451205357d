"""Bytes that no head-end can turn into events, and what kinds of them there are.

Each kind is a fault seen in the field: a modem that loses the rest, a flipped bit, a key that was not rotated everywhere,
a length gone wild, a meter that nobody registered, a port scanner.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from connectors.simulator.models import Layout
from connectors.simulator.plan import MeterPlan
from connectors.simulator.telegrams import Secret, Telegram, apdu, hdlc, register_values, secret_of, wrapper

KINDS = ("bad-truncated", "bad-checksum", "bad-key", "bad-oversized", "unknown-meter", "unknown-key", "garbage")

_SCANS = (
    b"GET / HTTP/1.1\r\nHost: meter\r\n\r\n",
    b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
    b"SSH-2.0-scan\r\n",
    b"\xaa" * 48,
)


@dataclass(frozen=True, slots=True)
class Noise:
    """Bytes to send, and who they claim to come from: empty where they claim nothing."""

    what: str
    content: bytes
    meter: str


def make_noise(what: str, plan: MeterPlan, telegram: Telegram, invocation_counter: int, rng: random.Random) -> Noise:
    """The bytes of one kind, made from a good telegram of the meter. They never ask for confirmation."""
    quiet = replace(telegram, confirmed=False)
    good = apdu(plan, quiet, secret_of(plan), invocation_counter)
    if what == "bad-truncated":
        frame = wrapper(good)
        return Noise(what, frame[: rng.randrange(9, len(frame) - 1)], "")
    if what == "bad-checksum":
        short = replace(quiet, values=quiet.values[:3])  # one frame, so that one checksum is wrong and nothing else
        frame_bytes = bytearray(hdlc(apdu(plan, short, secret_of(plan), invocation_counter), segment=1024))
        frame_bytes[len(frame_bytes) // 2] ^= 0x20
        return Noise(what, bytes(frame_bytes), "")
    if what == "bad-key":
        wrong = Secret(plan.system_title, rng.randbytes(16), rng.randbytes(16))
        return Noise(what, wrapper(apdu(plan, quiet, wrong, invocation_counter)), plan.id)
    if what == "bad-oversized":
        return Noise(what, b"\xdb\x08" + plan.system_title + b"\x84\x7f\xff\xff\xff\x30" + rng.randbytes(64), "")
    if what in ("unknown-meter", "unknown-key"):
        stranger = _stranger(plan, rng, ciphered=what == "unknown-key")
        spoken = replace(quiet, values=register_values(stranger, telegram.meter_ms))
        return Noise(what, wrapper(apdu(stranger, spoken, secret_of(stranger), 1)), stranger.id)
    return Noise("garbage", rng.choice(_SCANS), "")


def _stranger(plan: MeterPlan, rng: random.Random, *, ciphered: bool) -> MeterPlan:
    """A meter that is in no shipment: its serial number is of a range that no fleet uses."""
    layout = Layout.TAGGED if plan.model.layout is Layout.FLAT else plan.model.layout
    model = replace(plan.model, flag="XYZ", ciphered=ciphered, layout=layout)
    return replace(plan, model=model, serial=f"{rng.randrange(900_000_000, 999_999_999)}", encryption_key=rng.randbytes(16))
