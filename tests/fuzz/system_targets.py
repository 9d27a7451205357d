"""Targets behind the protocol: records on Kafka, files for the command line, the gateway's way from octets to events."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache
from io import BytesIO
from types import SimpleNamespace
from typing import Any, cast

from connectors.cli import telegrams
from connectors.cli.failure import CommandError
from connectors.gateway.conversation import octets_pushes
from connectors.gateway.directory import Change, Directory
from connectors.gateway.keystore import MeterKeys
from connectors.gateway.masking import masked
from connectors.gateway.pipeline import Pipeline
from connectors.protocols.dlms.ciphering import Keys, cipher
from connectors.protocols.dlms.framing import Limits
from connectors.protocols.dlms.framing.wrapper import pack
from connectors.templates.loader import load_templates
from schemas.codec import Codec, CodecError
from schemas.records import RECORDS, Identity, IdentityKind, Meter, MeterState
from schemas.registry import MemoryRegistry
from tests.fuzz.harness import MAX_INPUT, Pieces, Target, expect
from tests.fuzz.push_targets import SMALL, TITLE

_EK, _AK = bytes(range(16)), bytes(range(16, 32))
_NOW = 1_700_000_000_000
SERIAL = "84895126"
CODEC = Codec(MemoryRegistry())


def run_codec(data: bytes) -> None:
    """A value on a topic: a record, or a `CodecError`; what was read can be written and reads the same again."""
    pieces = Pieces(data)
    which = pieces.octet()
    names = sorted(RECORDS)
    octets = pieces.rest()
    if which < 0x80:  # a schema id that exists, so that the body counts
        octets = b"\0" + CODEC.id_of(RECORDS[names[which % len(names)]]).to_bytes(4) + octets
    try:
        record = CODEC.decode(octets)
    except CodecError:
        return
    again = CODEC.decode(CODEC.encode(record))
    expect(repr(again) == repr(record), "a record is read otherwise once it was written again")


class _Stdin:
    """Standard input that holds the input."""

    def __init__(self, data: bytes) -> None:
        self.buffer = BytesIO(data)


def run_telegrams(data: bytes) -> None:
    """A file for `hes decode`: hex, binary or a packet capture, told apart; only errors of the command line come out."""
    before = sys.stdin
    sys.stdin = cast("Any", _Stdin(data))
    try:
        total = sum(len(capture.data) for capture in telegrams.read("-"))
        expect(total <= len(data) + 1, "more octets come out of a file than it has")
    except CommandError:
        pass
    finally:
        sys.stdin = before
    with suppress(CommandError):
        expect(len(telegrams.text_or_binary("fuzz", data)) <= len(data), "more octets than text")


@cache
def _pipelines() -> tuple[Pipeline, ...]:
    """A pipeline for each template that ships, with one meter that has keys."""
    store = SimpleNamespace(
        get=lambda ref: MeterKeys(_EK, _AK) if ref == TITLE.hex().upper() else None, refresh=lambda: False
    )
    made = []
    for name in sorted(load_templates()):
        identities = (Identity(IdentityKind.SYSTEM_TITLE, TITLE.hex().upper()), Identity(IdentityKind.SERIAL, SERIAL))
        meter = Meter(id="m1", identities=identities, state=MeterState.NORMAL, template=name, time_zone="Europe/Berlin")
        known = Directory()
        known.apply([Change(meter.id, meter)])
        limits = Limits(SMALL.max_apdu, SMALL.max_frames, SMALL.max_garbage)
        made.append(Pipeline(known, cast("Any", store), load_templates(), limits=limits, announce=0))
    return tuple(made)


def run_gateway(data: bytes) -> None:
    """Octets of a connection to events and dead letters: no bug of ours on the way, and every event can be written."""
    pieces = Pieces(data)
    kind = pieces.octet()
    pipeline = _pipelines()[pieces.octet() % len(_pipelines())]
    octets = pieces.rest()[:MAX_INPUT]
    if kind & 1 and octets:
        octets = pack(1, 102, cipher(octets[:1900], Keys(_EK, _AK), TITLE, 1))
    elif kind & 2 and octets:
        octets = pack(1, 102, octets[:1900])
    for push in octets_pushes(pipeline, octets, "10.0.0.7:41000", _NOW, replay_id="fuzz"):
        expect(push.outcome != "internal", "a bug: " + (push.letter.detail if push.letter else ""))
        CODEC.encode(push.frames)
        for event in push.events:
            CODEC.decode(CODEC.encode(event))


def run_gateway_masked(data: bytes) -> None:
    """What is kept of an APDU: as many octets as there were."""
    expect(len(masked(data)) == len(data), "masking changes the length")


TARGETS = (
    Target("codec", run_codec, 3),
    Target("telegrams", run_telegrams, 2),
    Target("gateway", run_gateway),
    Target("gateway_masked", run_gateway_masked, 4),
)
