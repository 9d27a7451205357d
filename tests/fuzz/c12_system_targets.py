"""Targets of C12 above the protocol: captures as `hes decode` shows them, and a simulated C12.22 meter."""

from __future__ import annotations

import json
from pathlib import Path

from connectors.cli.c12_telegrams import C12Captures, Family, Looks, family_of, unasked
from connectors.cli.telegrams import Capture
from connectors.protocols.c12.acse import Apdu
from connectors.protocols.c12.c1222_security import Seal, keyring, open_, seal
from connectors.protocols.c12.c1222_segments import Limits, Segments
from connectors.protocols.c12.epsem import Body
from connectors.protocols.c12.titles import title
from connectors.simulator.c12.message_server import Identity, MessageServer, Numbers
from connectors.simulator.c12.meter_tables import MeterTables
from connectors.simulator.config import FleetConfig
from connectors.simulator.plan import plan_fleet
from tests.fuzz.harness import Pieces, Target, expect

NOW_MS = 1_790_000_123_000
HES = title(".1")
_PLAN = next(
    plan
    for plan in plan_fleet(FleetConfig(Path(), meters=8, c12_share=1.0))
    if plan.model.c12 and not plan.model.c12.session
)
_MOST_SERVICES = 8


def run_captures(data: bytes) -> None:
    """A stream, a datagram or both sides of a line: everything is shown, as JSON and as text, and nothing raises."""
    pieces = Pieces(data)
    how, octets = pieces.octet(), pieces.rest()
    order = ((0, how), (len(octets) // 2, how // 2)) if how & 4 else ()
    capture = Capture("", "tcp://10.0.0.9:1153", octets, datagram=bool(how & 1), peer="tcp://10.0.0.1:5", order=order)
    family = (Family.C1218 if how & 8 else Family.C1222) if how & 2 else family_of(capture)
    if family is Family.DLMS:
        return
    captures = C12Captures(Looks(keyring({("*", 0): bytes(16)})))
    captures.add(capture, family)
    for shown in captures.take():
        json.dumps(shown.to_json())
        expect(all(line.isprintable() or line for line in shown.lines()), "a line that is none")
        expect(all(code and detail for code, detail in shown.errors), "an error without a code or a detail")
    unasked(capture, {"1.2.3"})


def run_meter(data: bytes) -> None:
    """Services of any kind, rightly sealed, and octets as they come: one answer at most, sealed and in order."""
    kind = _PLAN.model.c12
    if kind is None:
        raise TypeError(_PLAN)
    tables = MeterTables(_PLAN, kind, lambda: NOW_MS, 1)
    identity = Identity(title(_PLAN.ap_title), kind, _PLAN.encryption_key, b"secret")
    server = MessageServer(identity, tables, Numbers(lambda: NOW_MS, 1))
    segments, pieces, invocation = Segments(Limits(messages=2, octets=4096)), Pieces(data), 0
    while pieces.left:
        how = pieces.octet()
        if how & 1:
            server.receive(pieces.piece(), segments, 0.0)
            continue
        services = tuple(pieces.piece() or b"\x20" for _ in range(1 + (how >> 1) % _MOST_SERVICES))
        invocation += 1
        key = Seal(kind.mode, _PLAN.encryption_key, kind.key_id, invocation.to_bytes(4, "big"))
        octets = seal(Apdu(identity.title, HES, invocation), Body(services), key)
        replies = server.receive(octets, segments, 0.0)
        expect(len(replies) == 1, "a request without an answer, or with several")
        opened = open_(replies[0], server.lookup)
        expect(opened.apdu.called_invocation == invocation, "an answer to another request")
        expect(1 <= len(opened.services) <= len(services), "more answers than requests")
        expect(server.receive(octets, segments, 0.0) == replies, "the same request is answered otherwise")


TARGETS = (Target("cli_c12", run_captures, 2), Target("c1222_meter", run_meter, 1))
