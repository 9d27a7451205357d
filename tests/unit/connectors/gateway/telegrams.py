"""Telegrams of one meter, in clear, ciphered and altered, and what a pipeline makes of one."""

from __future__ import annotations

from connectors.gateway.conversation import octets_pushes
from connectors.gateway.keystore import MeterKeys
from connectors.gateway.pipeline import Pipeline, Push
from tests.unit.connectors.gateway.builders import AK, EK, ENDPOINT, NOW, TITLE, meter, reading, sealed, title, wrapped

KEYS = {TITLE.hex().upper(): MeterKeys(EK, AK)}


def one(known: Pipeline, data: bytes, replay_id: str = "") -> Push:
    (push,) = octets_pushes(known, data, ENDPOINT, NOW, replay_id)
    return push


def code(push: Push) -> str:
    assert push.letter is not None
    return push.letter.code


GOOD = wrapped(reading())
SEALED = wrapped(sealed(reading()))
FLIPPED = SEALED[:-20] + bytes((SEALED[-20] ^ 1,)) + SEALED[-19:]

REGISTERED = meter("m1", title(), key_ref="ref")
