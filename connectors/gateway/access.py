"""How the gateway associates with a meter: what its template asks for, made of what the key store holds and the registry
says. The association itself is built where `hes probe` has it built, too: `connectors.protocols.dlms.access`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from connectors.gateway.errors import JobError, KeyStoreError
from connectors.gateway.keystore import KeyStore, Pending
from connectors.protocols.dlms.access import Access, AccessError, access, needs
from connectors.protocols.dlms.meter_keys import MeterKeys, mark
from connectors.protocols.dlms.objects.security_setup import TRIES
from connectors.protocols.dlms.template import PullTemplate
from schemas.records import IdentityKind, Meter

__all__ = ["Access", "Trial", "access_of", "trials_of"]

_COLUMNS = {"signing": "signing_key", "agreement": "agreement_key", "meter_signing": "meter_certificate",
            "meter_agreement": "meter_agreement_certificate"}  # fmt: skip
"""The columns of a shipment file for what has another name there."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One way to associate with a meter whose keys are being changed."""

    which: str
    """"old" or "new"."""
    access: Access
    pending: Pending | None = None
    """The change of which it tells something whether this one stands."""
    after: str | None = None
    """Of a new key: the mark of the one that it comes after."""

    @property
    def mark(self) -> str | None:
        """Of the key by which it counts."""
        return None if self.access.keys is None else mark(self.access.keys.ek)


def access_of(meter: Meter, pull: PullTemplate, store: KeyStore, title: bytes) -> Access:
    """What is needed to associate with a meter, before anyone connects. Raises `JobError`: "key-missing" with everything
    that is missing, "key-shared", "title-shared", "template-contradictory".
    """
    return _access(meter, pull, _held(meter, pull, store, title), title)


def trials_of(meter: Meter, pull: PullTemplate, store: KeyStore, title: bytes) -> tuple[Trial, ...]:
    """The same where a change of keys may be under way: each key that may hold, the likelier first. Whichever association
    stands is told to the store (`KeyChanges.note`), so that the next visit has one. Raises `JobError` as `access_of`.

    A change of keys by which this meter is not associated with, such as of its master key, makes no second trial, and an
    association says nothing of it.
    """
    held = _held(meter, pull, store, title)
    pending = _pending(meter, store) if held.ek is not None else None
    old = _access(meter, pull, held, title)
    if pending is None or old.keys is None:
        return (Trial("old", old),)
    new = _access(meter, pull, pending.keys.over(held), title)
    if new.keys is None or new.keys == old.keys:
        return (Trial("old", old),)
    known = {"old": Trial("old", old, pending), "new": Trial("new", new, pending, mark(old.keys.ek))}
    return tuple(known[which] for which in TRIES[pending.state])


def _access(meter: Meter, pull: PullTemplate, held: MeterKeys, title: bytes) -> Access:
    try:
        return access(pull, held, title, _peer_of(meter))
    except AccessError as error:
        if error.code == "template-contradictory":
            detail = f"the template {meter.template!r} of meter {meter.id} contradicts itself: {error}"
            raise JobError("template-contradictory", detail) from None
        if error.code == "title-shared":
            detail = (
                f"meter {meter.id} cannot be spoken to: {error}; correct the meter's record, or set gateway.system_title"
            )
            raise JobError("title-shared", detail) from None
        if error.lacking:
            columns = ", ".join(_COLUMNS.get(name, name) for name in error.lacking)
            what = f"{error} under {meter.key_ref!r} for meter {meter.id}; import the meter's keys (columns {columns})"
        else:
            what = f"the keys under {meter.key_ref!r} of meter {meter.id} do not fit: {error}; correct them, or the template"
        raise JobError("key-missing", what) from None


def _held(meter: Meter, pull: PullTemplate, store: KeyStore, title: bytes) -> MeterKeys:
    """What is known under the meter's reference and, of ours, under our system title."""
    wanted = needs(pull)
    if not wanted:
        return MeterKeys()
    try:
        held = (store.get(meter.key_ref) if meter.key_ref else None) or MeterKeys()
        if held.meter and held.meter != meter.id:
            detail = (
                f"the keys under {meter.key_ref!r} are those of meter {held.meter}, and meter {meter.id} names them, too: "
                "invocation counters would be used twice; give each meter a key reference and keys of its own, or keep the "
                "id where it is the same meter"
            )
            raise JobError("key-shared", detail)
        if any(name in wanted for name in ("signing", "agreement")):
            ours = store.get(title.hex().upper()) or MeterKeys()
            held = held.over(MeterKeys(signing=ours.signing, agreement=ours.agreement, certificate=ours.certificate))
    except KeyStoreError as error:
        raise JobError("key-missing", str(error)) from None
    return held


def _pending(meter: Meter, store: KeyStore) -> Pending | None:
    ask: Any = getattr(store, "pending", None)  # isinstance of a protocol takes longer than all the rest here
    found: Pending | None = None
    try:
        if ask is not None and meter.key_ref:
            found = ask(meter.key_ref)
    except KeyStoreError as error:
        raise JobError("key-missing", str(error)) from None
    return found


def _peer_of(meter: Meter) -> bytes | None:
    for identity in meter.identities:
        if identity.kind is IdentityKind.SYSTEM_TITLE:
            try:
                title = bytes.fromhex(identity.value)
            except ValueError:
                return None
            return title if len(title) == 8 else None
    return None
