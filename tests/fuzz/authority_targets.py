"""Targets around commands: what anybody may write on their topics, and a policy file."""

from __future__ import annotations

from functools import cache

from schemas.records import Control, Operator
from streams.followup.policy_file import parse_policy as parse_followup
from streams.runtime.authority.jobs import verify_release
from streams.runtime.authority.policy_file import PolicyError, parse_policy
from streams.runtime.authority.refusals import CODES, Refusal, RefusedError
from streams.runtime.authority.verify import Around, Scope, examine, verify, verify_decided, vote
from tests.fuzz.harness import MAX_INPUT, Pieces, Target, expect
from tests.unit.streams.runtime.authority.builders import NOW, asks, meter, world


@cache
def _world() -> Around:
    return world()


def run_authority(data: bytes) -> None:
    """A value as operator, control, request, decision or job: taken, or refused with a code that is explained."""
    pieces = Pieces(data)
    which, octets = pieces.octet() % 6, pieces.rest()
    around = _world()
    if which == 0:
        found: object = around.operators.apply(octets)
        expect(isinstance(found, Operator | Refusal), "an operator is one, or refused")
    elif which == 1:
        found = around.controls.apply(octets, NOW)
        expect(isinstance(found, Control | Refusal), "a control is one, or refused")
    elif which == 2:
        found = verify(around, octets, (), Scope((meter(),)), NOW)
    elif which == 3:
        found = verify_decided(around, asks(), (octets,), Scope((meter(),)), NOW)
    elif which == 4:
        found = verify_release(around, octets, ("alice",), NOW)
        expect(isinstance(found, Refusal), "nobody has released this")
    else:
        try:
            found = vote(around, examine(around, asks(), NOW), octets, Scope((meter(),)), NOW)
        except RefusedError as error:
            found = error.refusal
    if isinstance(found, Refusal):
        known = found.code in CODES or found.code.startswith(("avro-", "record-"))
        expect(known and len(found.detail) < MAX_INPUT, f"{found.code} is no code, or its sentence has no end")


def run_policy(data: bytes) -> None:
    """A text as a policy of commands, and of follow-up: one, or a `PolicyError` that names a line."""
    for parse in (parse_policy, parse_followup):
        try:
            parse(data.decode("utf-8", "replace"), "p")
        except PolicyError as error:
            expect(all(problem.startswith("p:") for problem in error.problems), "a problem has no line")


TARGETS = (Target("authority", run_authority, 2), Target("policy", run_policy))
