"""Operators with keys of their own, and everything that a verdict depends on; times in milliseconds around `NOW`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.codec import Codec
from schemas.records import (
    CommandDecision,
    CommandRequest,
    Control,
    ControlKind,
    Meter,
    MeterState,
    Operation,
    Operator,
    Target,
    Verdict,
)
from schemas.registry import MemoryRegistry
from schemas.signatures import Signed, digest, public_key, signed
from streams.runtime.authority.controls import Controls
from streams.runtime.authority.operators import Operators
from streams.runtime.authority.policy import Policy
from streams.runtime.authority.policy_file import load_policy
from streams.runtime.authority.verify import Around, named

CODEC = Codec(MemoryRegistry())
HERE = "test"
NOW = 1_800_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
POLICY = load_policy()


def key(name: str) -> Ed25519PrivateKey:
    """The private key of a name, the same in every run."""
    return Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b".")[:32])


ROOT = key("root")
PEOPLE = {
    "alice": ("meter-operator",),
    "bob": ("meter-operator",),
    "carol": ("supervisor",),
    "desk": ("requester",),
    "prepay": ("requester", "prepayment"),
    "intern": ("guest",),
}


def sign(record: Signed, by: str, environment: str = HERE) -> bytes:
    """The value of a record, signed with the key of a name."""
    return signed(CODEC, record, environment, key(by))


def operator(name: str, roles: tuple[str, ...], **fields: Any) -> bytes:
    """A record of hes.operators, signed by root."""
    whole = {"valid_from": NOW - 30 * DAY, "valid_to": NOW + 30 * DAY, "version": 1} | fields
    return sign(Operator(id=name, name=name, roles=roles, public_key=public_key(key(name)), **whole), "root")


def operators(**more: bytes) -> Operators:
    """Everybody in `PEOPLE`, and whoever is given."""
    book = Operators(CODEC, HERE, (public_key(ROOT),))
    for value in [*(operator(name, roles) for name, roles in PEOPLE.items()), *more.values()]:
        assert isinstance(book.apply(value), Operator)
    return book


def again(value: bytes, by: str, environment: str = HERE, **fields: Any) -> bytes:
    """The same record with something changed, signed anew."""
    return sign(replace(cast("Any", CODEC.decode(value)), **fields), by, environment)


def altered(value: bytes, **fields: Any) -> bytes:
    """The same record saying something else under the old signature."""
    return CODEC.encode(replace(cast("Any", CODEC.decode(value)), **fields))


def meter(name: str = "m1", **fields: Any) -> Meter:
    """A meter in service below feeder F1."""
    whole = {"feeder": "F1", "transformer": "T1", "segment": "S1", "state": MeterState.NORMAL} | fields
    return Meter(id=name, **whole)


def request(*meters: str, by: str = "alice", **fields: Any) -> CommandRequest:
    """A disconnection asked for a minute ago."""
    whole: dict[str, Any] = {
        "id": "c1",
        "target": Target(meters=meters or ("m1",)),
        "operation": Operation.DISCONNECT,
        "requested_by": by,
        "requested_at": NOW - MINUTE,
        "reason": "unpaid",
        "environment": HERE,
    }
    return CommandRequest(**(whole | fields))


def asks(*meters: str, by: str = "alice", **fields: Any) -> bytes:
    """The same, signed."""
    return sign(request(*meters, by=by, **fields), by)


def decision(value: bytes, *meters: str, by: str = "bob", **fields: Any) -> CommandDecision:
    """An approval made now."""
    listed, root = named(meters or ("m1",))
    asked = CODEC.decode(value)
    assert isinstance(asked, CommandRequest)
    whole: dict[str, Any] = {
        "id": f"d-{by}",
        "command_id": asked.id,
        "request_digest": digest(value),
        "meters": listed,
        "target_root": root,
        "environment": HERE,
        "verdict": Verdict.APPROVE,
        "decided_by": by,
        "decided_at": NOW,
    }
    return CommandDecision(**(whole | fields))


def decides(value: bytes, *meters: str, by: str = "bob", **fields: Any) -> bytes:
    """The same, signed."""
    return sign(decision(value, *meters, by=by, **fields), by)


def control(kind: ControlKind, by: str, **fields: Any) -> bytes:
    """A record of hes.controls, signed."""
    whole: dict[str, Any] = {
        "id": kind.lower(),
        "kind": kind,
        "issued_by": by,
        "issued_at": NOW - HOUR,
        "reason": "a reason",
        "environment": HERE,
    }
    return sign(Control(**(whole | fields)), by)


def authorization(by: str = "carol", **fields: Any) -> bytes:
    """Prepayment meters may be cut off and brought back by the prepayment system."""
    whole: dict[str, Any] = {
        "holder": "prepay",
        "operations": (Operation.DISCONNECT, Operation.RECONNECT),
        "target": Target(groups=("prepaid",)),
        "most_per_day": 3,
        "expires": NOW + DAY,
    }
    return control(ControlKind.AUTHORIZATION, by, **(whole | fields))


def world(policy: Policy = POLICY, *controls: bytes, environment: str = HERE, **more: bytes) -> Around:
    """What surrounds a verdict; every control given is in force."""
    book = operators(**more)
    known = Controls(CODEC, environment, book, policy)
    for value in controls:
        assert isinstance(known.apply(value, NOW), Control), known.apply(value, NOW)
    return Around(CODEC, environment, policy, book, known)


def policy(**fields: Any) -> Policy:
    """The strict policy with something changed."""
    return replace(POLICY, **fields)
