"""What holds for all commands or for some meters: freezes, protected customers, standing authorizations.

hes.controls as a book. A control that protects (a freeze, a hold, a withdrawal) counts also when the key of whoever ordered
it expired or was revoked since; to lift one, and to authorize, the key must be good now. So what is doubtful errs on the
side of the customer.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from schemas.codec import Codec, CodecError
from schemas.records import CommandRequest, Control, ControlKind, Operator
from schemas.signatures import SignatureError, read, verify
from streams.runtime.authority.operators import Operators
from streams.runtime.authority.policy import Policy
from streams.runtime.authority.refusals import Refusal, RefusedError
from streams.runtime.authority.targets import Place, is_empty, selects

_LONGEST = 200
_ROLE = {
    (ControlKind.FREEZE, False): "freeze",
    (ControlKind.FREEZE, True): "lift-freeze",
    (ControlKind.HOLD, False): "hold",
    (ControlKind.HOLD, True): "lift-hold",
    (ControlKind.AUTHORIZATION, False): "authorize",
    (ControlKind.AUTHORIZATION, True): "withdraw",
}
"""What the policy calls the right to it, and to weaken it."""


class Controls:
    """The latest control of each id. Applied on one thread, asked on any."""

    def __init__(self, codec: Codec, environment: str, operators: Operators, policy: Policy) -> None:
        self._codec = codec
        self._environment = environment
        self._operators = operators
        self._policy = policy
        self._latest: dict[str, Control] = {}
        self._values: dict[str, bytes] = {}

    def apply(self, value: bytes | None, now_ms: int) -> Control | Refusal:
        """Take a record over. The one that holds is the control again; what is not newer is refused.

        `RegistryError` passes through where the registry is down.
        """
        try:
            control = self._read(value)
            before = self._latest.get(control.id)
            if before != control:
                self._check(control, before, now_ms)
                self._prove(value or b"", control, before, now_ms)
                self._latest[control.id] = control
                self._values[control.id] = value or b""
        except RefusedError as error:
            return error.refusal
        except SignatureError as error:
            return Refusal(error.code, f"hes.controls: {error.detail}")
        return control

    def all(self) -> Sequence[Control]:
        """Every control as it stands, lifted ones too."""
        return list(self._latest.values())

    def frozen(self, place: Place | None, now_ms: int) -> Control | None:
        """The freeze that holds for a meter; without one, the freeze that holds for all."""
        return self._holding(ControlKind.FREEZE, place, now_ms)

    def held(self, place: Place, now_ms: int) -> Control | None:
        """The hold by which a customer is not cut off."""
        return self._holding(ControlKind.HOLD, place, now_ms)

    def authorizing(self, request: CommandRequest, places: Sequence[Place], now_ms: int) -> tuple[Control, bytes] | None:
        """A standing authorization that covers a request, with the bytes that prove it."""
        for control in self.all():
            if control.kind is ControlKind.AUTHORIZATION and not self.uncovered(control, request, places, now_ms):
                return control, self._values[control.id]
        return None

    def uncovered(self, control: Control, request: CommandRequest, places: Sequence[Place], now_ms: int) -> str:
        """Why an authorization does not cover a request now; empty where it does."""
        if control.kind is not ControlKind.AUTHORIZATION or self._latest.get(control.id) != control or control.lifted:
            return "it was withdrawn, replaced, or is none"
        if control.holder != request.requested_by or request.operation not in control.operations:
            return f"it is for {control.holder} and {', '.join(control.operations)}"
        if control.expires is None or now_ms >= control.expires:
            return "it has expired"
        try:
            self._operators.signer(control.issued_by, now_ms, self._policy.controls["authorize"])
        except RefusedError as error:
            return str(error)
        if not all(selects(control.target, place) for place in places):
            return "it does not cover every meter"
        return ""

    def get(self, name: str) -> Control | None:
        """The control of an id as it stands."""
        return self._latest.get(name)

    def _holding(self, kind: ControlKind, place: Place | None, now_ms: int) -> Control | None:
        for control in self.all():
            if control.kind is not kind or control.lifted or (control.expires is not None and now_ms >= control.expires):
                continue
            if is_empty(control.target) or (place is not None and selects(control.target, place)):
                return control
        return None

    def _read(self, value: bytes | None) -> Control:
        try:
            return read(self._codec, value, Control)
        except CodecError as error:
            raise RefusedError("control-unreadable", f"hes.controls: {error}") from error

    def _check(self, control: Control, before: Control | None, now_ms: int) -> None:
        """`RefusedError` where a control contradicts itself, the policy, or what is known."""
        if not control.id or len(control.id) > _LONGEST:
            raise RefusedError("control-invalid", f"a control needs an id of 1 to {_LONGEST} characters")
        if control.environment != self._environment:
            raise RefusedError("environment-other", f"control {control.id} is for environment {control.environment!r}")
        if before is not None and control.issued_at <= before.issued_at:
            raise RefusedError("control-outdated", f"control {control.id}: one that is as new or newer holds; issue it anew")
        if control.issued_at > now_ms + self._policy.skew_ms:
            raise RefusedError("control-invalid", f"control {control.id} was issued in the future; set the signer's clock")
        if control.kind is ControlKind.UNKNOWN or (before is not None and before.kind is not control.kind):
            raise RefusedError("control-invalid", f"control {control.id}: its kind is unknown, or its id is of another kind")
        if control.kind is ControlKind.AUTHORIZATION and not control.lifted and (why := self._beyond(control)):
            raise RefusedError("control-invalid", f"authorization {control.id}: {why}; issue it so")

    def _beyond(self, control: Control) -> str:
        """Where an authorization goes beyond what the policy allows."""
        longest, most = self._policy.authorization_ms, self._policy.authorization_most
        if control.expires is None or not 0 < control.expires - control.issued_at <= longest:
            return f"it must expire within {longest // 86_400_000} days"
        if not 0 < control.most_per_day <= most:
            return f"it must name at most {most} meters a day"
        if is_empty(control.target) or not control.operations or not control.holder:
            return "it must name who may do what to which meters"
        return "who issues it may not be who holds it" if control.holder == control.issued_by else ""

    def _prove(self, value: bytes, control: Control, before: Control | None, now_ms: int) -> None:
        """Return where somebody signed it who may. `RefusedError`, `SignatureError`."""
        weakens = _weakens(control, before)
        roles = self._policy.controls[_ROLE[control.kind, weakens]]
        versions = self._operators.keys_at(control.issued_by, control.issued_at, roles)
        if weakens is not (control.kind is ControlKind.AUTHORIZATION):
            signer = self._operators.signer(control.issued_by, now_ms, roles)
            if holder := self._same_key(control, signer):
                raise RefusedError("control-invalid", f"authorization {control.id}: {holder} has the key that signed it")
            versions = (signer,) if versions else ()
        elif not versions:
            self._operators.signer(control.issued_by, now_ms, roles)
        if not versions:
            raise RefusedError(
                "operator-expired", f"the key of {control.issued_by} was not valid when control {control.id} was issued"
            )
        for version in versions[:-1]:
            with suppress(SignatureError):
                return verify(self._codec, value, self._environment, version.public_key)
        return verify(self._codec, value, self._environment, versions[-1].public_key)

    def _same_key(self, control: Control, signer: Operator) -> str:
        holder = self._operators.get(control.holder) if control.kind is ControlKind.AUTHORIZATION else None
        return control.holder if holder is not None and holder.public_key == signer.public_key else ""


def _weakens(control: Control, before: Control | None) -> bool:
    """Whether less is frozen, held or authorized with it than before."""
    if control.lifted or before is None or before.lifted or control.kind is ControlKind.AUTHORIZATION:
        return control.lifted
    shorter = control.expires is not None and (before.expires is None or control.expires < before.expires)
    return shorter or not (is_empty(control.target) or control.target == before.target)
