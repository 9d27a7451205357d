"""Who may ask and decide: hes.operators as a book. A record counts that the root key signed; an id's latest version holds.

All versions are kept, since what protects customers (a freeze, a hold) must not end because whoever ordered it has left.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.codec import Codec, CodecError
from schemas.records import Operator
from schemas.signatures import KEY_OCTETS, SignatureError, read, verify
from streams.runtime.authority.refusals import Refusal, RefusedError

_LONGEST = 200


class Operators:
    """Operators by id. Applied on one thread, asked on any."""

    def __init__(self, codec: Codec, environment: str, roots: tuple[bytes, ...]) -> None:
        self._codec = codec
        self._environment = environment
        self._roots = roots
        self._versions: dict[str, tuple[Operator, ...]] = {}

    def apply(self, value: bytes | None) -> Operator | Refusal:
        """Take a record over. One that the book has is the operator again; what is not newer is refused.

        `RegistryError` passes through where the registry is down.
        """
        try:
            record = read(self._codec, value, Operator)
        except (CodecError, SignatureError) as error:
            return Refusal(error.code, f"hes.operators: {error}")
        fault = self._not_by_root(value or b"", record)
        if fault is not None:
            return fault
        known = self._versions.get(record.id, ())
        if known and record.version <= known[-1].version and record not in known:
            return Refusal(
                "operator-outdated", f"operator {record.id}: version {record.version} came after {known[-1].version}"
            )
        if record not in known:
            self._versions[record.id] = (*known, record)
        return record

    def get(self, name: str) -> Operator | None:
        """An operator as it stands, revoked or not."""
        versions = self._versions.get(name)
        return versions[-1] if versions else None

    def all(self) -> Iterable[Operator]:
        """Every operator as it stands."""
        return [versions[-1] for versions in list(self._versions.values())]

    def signer(self, name: str, now_ms: int, roles: tuple[str, ...]) -> Operator:
        """Whose signature counts now; any of `roles` is enough, and none need be had where none is asked. `RefusedError`."""
        found = self.get(name)
        if found is None:
            refusal = self._unknown(name)
            raise RefusedError(refusal.code, refusal.detail)
        if found.revoked:
            raise RefusedError("operator-revoked", f"the key of operator {name} was revoked; another operator must sign")
        if not _holds(found, now_ms):
            raise RefusedError(
                "operator-expired", f"the key of operator {name} is not valid now; `hes operators new` renews it"
            )
        if roles and not set(roles) & set(found.roles):
            raise RefusedError("role-missing", f"operator {name} is none of {', '.join(roles)}; somebody who is must sign")
        return found

    def keys_at(self, name: str, at_ms: int, roles: tuple[str, ...]) -> tuple[Operator, ...]:
        """Every version that had one of the roles and was valid at a time, also where it was revoked since, latest first."""
        return tuple(
            version
            for version in reversed(self._versions.get(name, ()))
            if not version.revoked and _holds(version, at_ms) and (not roles or set(roles) & set(version.roles))
        )

    def _unknown(self, name: str) -> Refusal:
        if not self._roots:
            return Refusal("root-missing", "no root key is pinned, so nobody is an operator; set HES_COMMANDS__ROOT_KEY")
        return Refusal("operator-unknown", f"there is no operator {name!r}; `hes operators list` shows who there is")

    def _not_by_root(self, value: bytes, record: Operator) -> Refusal | None:
        if not self._roots:
            return self._unknown(record.id)
        if not record.id or len(record.id) > _LONGEST or len(record.public_key) != KEY_OCTETS:
            return Refusal("signature-form", f"operator {record.id[:_LONGEST]!r} has no usable id or public key")
        fault = Refusal("signature-invalid", "")
        for key in self._roots:
            try:
                verify(self._codec, value, self._environment, key)
            except SignatureError as error:
                fault = Refusal(error.code, f"operator {record.id}, by the root key: {error.detail}")
            else:
                return None
        return fault


def roots_of(text: str) -> tuple[bytes, ...]:
    """Root keys as the settings give them: hex, several separated by commas while one replaces another. `ValueError`."""
    keys = tuple(bytes.fromhex(part.strip()) for part in text.split(",") if part.strip())
    if any(len(key) != KEY_OCTETS for key in keys):
        raise ValueError(f"a root key is {KEY_OCTETS} octets, {2 * KEY_OCTETS} hex digits")
    return keys


def _holds(operator: Operator, at_ms: int) -> bool:
    return operator.valid_from <= at_ms and (operator.valid_to is None or at_ms < operator.valid_to)
