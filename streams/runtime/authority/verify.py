"""A request with its decisions: proven, waiting for decisions, or refused. Asked by `streams/commands` and by the gateway.

What it rests on is bytes alone: those of the request and of the decisions, as they were signed. Whatever a job, a book of
commands or a header says beside them proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from schemas.codec import Codec, CodecError, expect
from schemas.records import CommandDecision, CommandRequest, Control, Operator, Verdict
from schemas.signatures import SignatureError, digest, read
from schemas.signatures import verify as verify_signature
from streams.runtime.authority.controls import Controls
from streams.runtime.authority.kinds import FIRMWARE, acts, cuts, kind_of
from streams.runtime.authority.operators import Operators
from streams.runtime.authority.policy import Kind, Policy
from streams.runtime.authority.refusals import Pending, Proven, Refusal, RefusedError
from streams.runtime.authority.requests import fault_in
from streams.runtime.authority.targets import LISTED, Place, Proofs, proves, selects

D = TypeVar("D", CommandRequest, CommandDecision)


@dataclass(frozen=True, slots=True)
class Around:
    """What a verdict depends on beside the bytes."""

    codec: Codec
    environment: str
    policy: Policy
    operators: Operators
    controls: Controls


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose signature is good, where it needs one."""

    request: CommandRequest
    value: bytes
    digest: bytes
    kind: str
    rules: Kind
    signer: Operator | None
    """None where it is not signed, and the policy asks for no signature."""
    expires: int


_STOPS = (Verdict.CANCEL, Verdict.PAUSE)
"""Whoever asked may do it, and so may all who could have asked or decided; whatever the meters are."""
NOTHING = Kind(
    signed=True, requested_by=("nobody",), decided_by=("nobody",), decisions=1, expires_ms=0, meters=0, hours=None
)
"""The rules of what a policy does not allow (any more)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The meters that a verdict is about: the whole target as resolved, or one meter of it."""

    places: Sequence[Place]
    whole: bool = True
    proof: tuple[bytes, ...] = ()
    """One meter's way to the root that decisions on a long target name."""


@dataclass(frozen=True, slots=True)
class Vote:
    """A decision that counts."""

    decision: CommandDecision
    operator: Operator


def verify(
    around: Around, request: bytes, decisions: Sequence[bytes], scope: Scope, now_ms: int
) -> Proven | Pending | Refusal:
    """Whether a request may be carried out now, from its bytes and those of its decisions."""
    try:
        return judge(around, examine(around, request, now_ms), decisions, scope, now_ms)
    except RefusedError as error:
        return error.refusal


def verify_decided(
    around: Around, request: bytes, decisions: Sequence[bytes], scope: Scope, now_ms: int
) -> Proven | Pending | Refusal:
    """The same for what claims to be decided: decisions come first, so that what is refused for the hour, a freeze or a
    protected customer lacks nothing else.
    """
    try:
        asked = examine(around, request, now_ms)
        found = tally(around, asked, decisions, scope, now_ms)
        if isinstance(found, Proven):
            check_allowed(around, asked, scope.places, now_ms)
    except RefusedError as error:
        return error.refusal
    return found


def examine(around: Around, value: bytes | None, now_ms: int) -> Asked:
    """Who asks for what: form, signature, role. Not whether it may be done now. `RefusedError`."""
    request = _read(around, value, CommandRequest, "request-unreadable")
    kind = kind_of(request.operation, request.objects)
    rules = around.policy.kinds.get(kind)
    if rules is None:
        what = kind or request.operation
        raise RefusedError("kind-not-allowed", f"the policy allows no command {what}; ask for what it allows")
    if fault := fault_in(request):
        raise RefusedError("argument-invalid", fault)
    _here(around, request.environment)
    signer: Operator | None = None
    if request.signature or rules.signed:
        signer = _signer(around, value or b"", request.requested_by, rules.requested_by, now_ms)
    latest = request.requested_at + rules.expires_ms
    expires = latest if request.expires is None else min(request.expires, latest)
    return Asked(request, value or b"", digest(value or b""), kind, rules, signer, expires)


def recall(around: Around, value: bytes) -> Asked:
    """A request that was examined before, from its bytes: what it says, not whether that still counts. `RefusedError`."""
    request = _read(around, value, CommandRequest, "request-unreadable")
    kind = kind_of(request.operation, request.objects)
    return Asked(request, value, digest(value), kind, around.policy.kinds.get(kind, NOTHING), None, 0)


def check_fresh(around: Around, asked: Asked, now_ms: int) -> None:
    """`RefusedError` where a request comes too long after it was signed, or before. For whoever takes requests in: a
    proof is older.
    """
    age = now_ms - asked.request.requested_at
    if not -around.policy.skew_ms <= age <= around.policy.fresh_ms:
        when = "in the future" if age < 0 else f"{age // 1000} s ago"
        raise RefusedError("request-not-fresh", f"the request was signed {when}; ask again, with the clock set")


def check_allowed(around: Around, asked: Asked, places: Sequence[Place], now_ms: int) -> None:
    """`RefusedError` where it may not be done now, whoever approved it: time, target, freeze, protected customers, hours."""
    if now_ms >= asked.expires:
        raise RefusedError("request-expired", "the time within which the command may be begun is over; ask again")
    for place in places:
        if not selects(asked.request.target, place):
            raise RefusedError(
                "target-unknown", f"meter {place.id} is not what the request's target means; ask for it by itself"
            )
        if acts(asked.kind) and (freeze := around.controls.frozen(place, now_ms)):
            raise RefusedError("frozen", f"{freeze.issued_by} froze commands: {freeze.reason}; `hes freeze --lift` ends it")
        if cuts(asked.kind) and around.policy.protects:
            _check_protected(around, place, now_ms)
    if not around.policy.is_open(asked.rules, now_ms):
        zone = around.policy.time_zone
        raise RefusedError("outside-hours", f"the policy allows no {asked.kind} at this hour in {zone}; ask again then")


def vote(around: Around, asked: Asked, value: bytes | None, scope: Scope, now_ms: int) -> Vote:
    """A decision that counts for this request and these meters; `RefusedError`."""
    decision = _read(around, value, CommandDecision, "decision-unreadable")
    _here(around, decision.environment)
    operator = _signer(around, value or b"", decision.decided_by, _deciders(asked, decision), now_ms)
    if decision.request_digest != asked.digest or decision.command_id != asked.request.id:
        raise RefusedError("decision-other-request", f"{operator.id} decided on another request; decide on this one")
    if decision.verdict in _STOPS:
        return Vote(decision, operator)
    if not _is_of(decision, scope):
        raise RefusedError(
            "decision-other-target", f"{operator.id} decided on other meters than the target means; decide anew"
        )
    if decision.verdict is Verdict.APPROVE:
        _check_approval(around, asked, decision, operator, now_ms)
    return Vote(decision, operator)


def judge(around: Around, asked: Asked, decisions: Sequence[bytes], scope: Scope, now_ms: int) -> Proven | Pending:
    """Whether what the policy asks for is there, for a request that was examined; `RefusedError`."""
    check_allowed(around, asked, scope.places, now_ms)
    return tally(around, asked, decisions, scope, now_ms)


def tally(around: Around, asked: Asked, decisions: Sequence[bytes], scope: Scope, now_ms: int) -> Proven | Pending:
    """Whether the decisions are what the policy asks for, for a request that was examined; `RefusedError`."""
    votes: list[Vote] = []
    authorization = ""
    for value in decisions:
        if _is_control(around.codec, value):
            authorization = _standing(around, asked, value, scope, now_ms)
            continue
        found = vote(around, asked, value, scope, now_ms)
        if found.decision.verdict is not Verdict.APPROVE:
            raise RefusedError(
                "decision-rejected",
                f"{found.operator.id} did not approve ({found.decision.verdict}): {found.decision.reason}",
            )
        if any(
            found.operator.id == one.operator.id or found.operator.public_key == one.operator.public_key for one in votes
        ):
            raise RefusedError("decision-repeated", f"{found.operator.id} has approved already; somebody else must too")
        votes.append(found)
    missing = 0 if authorization else asked.rules.decisions - len(votes)
    if missing > 0:
        return Pending(missing, asked.rules.decided_by)
    by = tuple(one.operator.id for one in votes)
    return Proven(asked.request, asked.digest, asked.kind, by, authorization, asked.expires)


def named(meters: Sequence[str]) -> tuple[tuple[str, ...], bytes]:
    """How a decision names these meters: the list of a short target, the root of a long one."""
    return (tuple(meters), b"") if len(meters) <= LISTED else ((), Proofs(meters).root)


def _is_of(decision: CommandDecision, scope: Scope) -> bool:
    if scope.whole:
        return bool(scope.places) and (decision.meters, decision.target_root) == named([place.id for place in scope.places])
    if decision.meters:
        return not decision.target_root and all(place.id in decision.meters for place in scope.places)
    return bool(decision.target_root) and all(proves(place.id, scope.proof, decision.target_root) for place in scope.places)


def _check_protected(around: Around, place: Place, now_ms: int) -> None:
    if place.life_support:
        raise RefusedError("protected", f"meter {place.id} supplies life support; leave it out")
    if hold := around.controls.held(place, now_ms):
        raise RefusedError("protected", f"meter {place.id} is on hold list {hold.id}: {hold.reason}; leave it out")


def _check_approval(around: Around, asked: Asked, decision: CommandDecision, operator: Operator, now_ms: int) -> None:
    if operator.id == asked.request.requested_by or (asked.signer and operator.public_key == asked.signer.public_key):
        raise RefusedError("decision-self", f"{asked.request.requested_by} requested it; somebody else must decide")
    policy, since = around.policy, decision.decided_at - asked.request.requested_at
    if not -policy.skew_ms <= since <= policy.decide_ms or decision.decided_at > now_ms + policy.skew_ms:
        raise RefusedError("decision-late", f"{operator.id} decided outside the time for it; ask for the command again")


def _deciders(asked: Asked, decision: CommandDecision) -> tuple[str, ...]:
    """The roles for this verdict: whoever asked may cancel or pause, and so may all who could have asked or decided."""
    if decision.verdict is Verdict.UNKNOWN:
        raise RefusedError("decision-unreadable", "the decision says neither approve nor reject nor cancel")
    if decision.verdict in (Verdict.PAUSE, Verdict.RESUME) and asked.kind != FIRMWARE:
        raise RefusedError("decision-unreadable", "only a firmware campaign can be paused and resumed; cancel the command")
    if decision.verdict not in _STOPS:
        return asked.rules.decided_by
    own = decision.decided_by == asked.request.requested_by
    return () if own else (*asked.rules.decided_by, *asked.rules.requested_by)


def _read(around: Around, value: bytes | None, cls: type[D], code: str) -> D:
    try:
        return read(around.codec, value, cls)
    except SignatureError as error:
        raise RefusedError(error.code, error.detail) from error
    except CodecError as error:
        raise RefusedError(code, str(error)) from error


def _here(around: Around, environment: str) -> None:
    if environment != around.environment:
        raise RefusedError("environment-other", f"it is for environment {environment!r}, and this is {around.environment!r}")


def _signer(around: Around, value: bytes, name: str, roles: tuple[str, ...], now_ms: int) -> Operator:
    """Who signed a value in this name, and may. That nothing is signed at all is said first: it is what there is to mend."""
    if not getattr(around.codec.decode(value), "signature", b""):
        raise RefusedError("unsigned", f"it carries no signature of {name!r}; sign it (`hes sign`)")
    operator = around.operators.signer(name, now_ms, roles)
    try:
        verify_signature(around.codec, value, around.environment, operator.public_key)
    except SignatureError as error:
        raise RefusedError(error.code, f"in the name of {name}: {error.detail}") from error
    return operator


def _is_control(codec: Codec, value: bytes) -> bool:
    try:
        return codec.type_of(value) is Control
    except CodecError:
        return False


def _standing(around: Around, asked: Asked, value: bytes, scope: Scope, now_ms: int) -> str:
    """The id of the authorization in these bytes, where it is the one on the book and covers the request."""
    try:
        control = expect(around.codec.decode(value), Control)
    except CodecError as error:
        raise RefusedError("control-unreadable", str(error)) from error
    why = around.controls.uncovered(control, asked.request, scope.places, now_ms)
    if why or asked.signer is None:
        reason = why or "the request is not signed"
        raise RefusedError("authorization-invalid", f"authorization {control.id}: {reason}; ask for a decision")
    return control.id
