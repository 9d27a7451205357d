"""ROTATE_KEY: new keys for a meter, made here, kept before they are sent, and proven before the old ones go.

    made ─▶ pending ─▶ intent ─▶ sent ─▶ octets ─▶ written ─▶ an association with the new keys ─▶ activated
                                  └─▶ refused, lost, or the process died ─▶ an association by whichever stands
                                                                             ├─▶ new: activated
                                                                             └─▶ old: recovered, keys-not-taken

What the meter says to it decides nothing; an association does, here or at the next visit of whatever job (`dlms_trials`). No
association shows a master key: it is proven by the meter taking the new one again, wrapped with itself. A meter that has it
changes nothing by that, and one that has not cannot unwrap it. So the master key is changed by itself.

States tell keys by their marks (`meter_keys.mark`), never by themselves.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import structlog

from connectors.gateway.access import Trial
from connectors.gateway.drivers.dlms_order import DlmsOrder
from connectors.gateway.drivers.port import Deed, Found
from connectors.gateway.drivers.stepping import Drive
from connectors.gateway.errors import JobError, KeyStoreError
from connectors.gateway.keystore import KeyChanges, KeyStore, MeterKeys, Pending
from connectors.protocols.dlms.access import WORDS, needs
from connectors.protocols.dlms.association import Associated
from connectors.protocols.dlms.ciphering import KEY_OCTETS
from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.get import Attribute
from connectors.protocols.dlms.meter_keys import mark
from connectors.protocols.dlms.objects.disconnect import REFUSALS
from connectors.protocols.dlms.objects.security_setup import (
    KeyEvent,
    KeyKind,
    KeyState,
    NewKey,
    own_security_setup,
    transfer_keys,
)

_KINDS = {"ek": KeyKind.UNICAST, "ak": KeyKind.AUTHENTICATION, "kek": KeyKind.MASTER}
_MASTER = ("kek",)
_PAIRS = ("signing", "agreement", "certificate", "meter_signing", "meter_agreement")
_IN_DOUBT = (KeyState.SENT, KeyState.WRITTEN, KeyState.LOST)
_CLASS = 64


@dataclass(frozen=True, slots=True)
class KeyMeans:
    """What a change of keys is given with."""

    link: Associated
    trial: Trial
    """By which the association stands."""
    drive: Drive
    drive_once: Callable[[Session[Any]], Awaitable[Any]]
    again: Callable[[], Awaitable[tuple[Associated, Trial]]]
    """Part with the meter, and associate anew by whichever key stands; the store has been told then."""
    store: KeyStore


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a job asks: `names` of `MeterKeys`."""

    order: DlmsOrder
    names: tuple[str, ...]
    setup: str
    """OBIS of the security setup; empty: the one of our association."""

    @property
    def suite(self) -> int:
        """The meter's."""
        return self.order.template.pull.suite

    def words(self, keys: MeterKeys) -> str:
        """Which keys these are, without telling them."""
        return ", ".join(f"{name} {mark(getattr(keys, name) or b'')}" for name in self.names)

    def made(self) -> MeterKeys:
        """New ones."""
        size = KEY_OCTETS[self.suite]
        ek, ak, kek = (os.urandom(size) if name in self.names else None for name in _KINDS)
        return MeterKeys(ek, ak, kek=kek)

    def changed(self, held: MeterKeys, pending: Pending) -> bool:
        """Whether a change that is under way is one of these keys, and of no other."""
        differ = tuple(name for name in _KINDS if getattr(held, name) != getattr(pending.keys, name))
        return set(differ) == set(self.names)


def rotation_of(order: DlmsOrder) -> Rotation:
    """What a job asks, before anyone connects. Raises `JobError` where it cannot be asked so."""
    job, pull = order.job, order.template.pull
    if unknown_names := set(job.parameters) - {"keys", "bits"}:
        raise _invalid(f"ROTATE_KEY has the parameters keys and bits, not {', '.join(sorted(unknown_names))}")
    used = tuple(name for name in ("ek", "ak") if name in needs(pull))
    asked = job.parameters.get("keys", "").replace("both", "ek,ak").replace(",", " ").split()
    names = tuple(dict.fromkeys(asked)) or used
    if pairs := [name for name in names if name in _PAIRS]:
        detail = f"key pairs ({', '.join(pairs)}) are not changed by this release: ek, ak and kek are; nothing was sent"
        raise JobError("operation-unsupported", detail)
    if wrong := [name for name in names if name not in _KINDS]:
        raise _invalid(f"ROTATE_KEY knows the keys ek, ak and kek, not {', '.join(wrong)[:40]}")
    if "kek" in names and names != _MASTER:
        raise _invalid("the master key (kek) is changed by itself, since it is proven otherwise: ask for the others before")
    if idle := [WORDS[name] for name in names if name != "kek" and name not in used] or (["keys"] if not names else []):
        why = f"the template {order.template.name!r} associates without {' and '.join(idle)}"
        raise _invalid(f"{why}: nothing would prove that the meter has the new one")
    bits = 8 * KEY_OCTETS[pull.suite]
    if job.parameters.get("bits", str(bits)) != str(bits):
        raise _invalid(f"keys of security suite {pull.suite} have {bits} bits")
    return Rotation(order, names, _setup_of(order))


def _setup_of(order: DlmsOrder) -> str:
    """The security setup that the job names, as 64/OBIS/attribute."""
    if not order.job.objects:
        return ""
    try:
        (named,) = (Attribute.parse(text) for text in order.job.objects)
    except ValueError:
        raise _invalid("ROTATE_KEY names one object, 64/OBIS/attribute, or none") from None
    if named.class_id != _CLASS:
        raise _invalid(f"{named} is no security setup: 64/OBIS/attribute is expected")
    return named.obis


def check_store(rotation: Rotation, store: KeyStore) -> None:
    """Whether the key store can keep a change, and has what wraps it. Raises `JobError`, before anyone connects."""
    meter = rotation.order.meter
    if not isinstance(store, KeyChanges):
        detail = "the key store is only read here (a folder): keys change where they come from; nothing was sent"
        raise JobError("key-store-read-only", detail)
    try:
        held = (store.get(meter.key_ref) if meter.key_ref else None) or MeterKeys()
    except KeyStoreError as error:
        raise JobError("key-missing", str(error)) from None
    size = KEY_OCTETS[rotation.suite]
    if held.kek is None or len(held.kek) != size:
        why = f"no {WORDS['kek']}" if held.kek is None else f"the {WORDS['kek']} has not the {size} octets of the suite"
        detail = f"{why} under {meter.key_ref!r} for meter {meter.id}; import the meter's keys (columns kek)"
        raise JobError("key-missing", detail)


async def rotate(rotation: Rotation, means: KeyMeans, deed: Deed, found: Found) -> None:
    """See `port.Acts`."""
    store = means.store
    if not isinstance(store, KeyChanges):
        raise TypeError("a change of keys in a store that keeps none: check_store was not asked")
    await _Change(rotation, means, store, deed, found).run()


Answer = DlmsError | bool
"""What a meter said to keys: took them, nothing that could be heard (False), or why not."""


class _Change:
    """One change of keys, from what is known of it to what came of it."""

    def __init__(self, rotation: Rotation, means: KeyMeans, store: KeyChanges, deed: Deed, found: Found) -> None:
        self._rotation, self._means, self._store, self._deed, self._found = rotation, means, store, deed, found
        self._ref = rotation.order.meter.key_ref
        self._link, self._trial = means.link, means.trial
        self._sent = False
        self._log = structlog.get_logger("keys")

    async def run(self) -> None:
        """All of it. Raises `JobError`, DlmsError."""
        rotation, deed, found = self._rotation, self._deed, self._found
        held, pending = await self._known()
        if deed.unsettled:
            found.before = deed.before
            await self._judge(held, pending)
            return
        found.before = rotation.words(held)
        setup = await self._setup()
        pending = await self._proposed(held, pending)
        try:
            await deed.intend(found.before)
        except JobError:
            await self._forget(pending)
            raise
        if rotation.names == _MASTER:
            await self._change_master(held, pending, setup)
        else:
            await self._change(held, pending, setup)

    async def _change(self, held: MeterKeys, pending: Pending, setup: str) -> None:
        """Keys that an association shows."""
        rotation = self._rotation
        new = [NewKey(_KINDS[name], getattr(pending.keys, name)) for name in rotation.names]
        answer = await self._send(transfer_keys(self._link, new, held.kek or b"", setup, suite=rotation.suite), pending)
        self._link, self._trial = await self._means.again()
        now, _ = await self._known()
        self._deed.known()
        # The store may have heard of the new keys meanwhile, by a push: then they are those that hold.
        if self._trial.which == "new" or rotation.words(now) == rotation.words(pending.keys):
            self._end(pending.keys, "the meter has the new keys: an association with them has stood")
            return
        self._end(held)
        if isinstance(answer, DlmsError):
            raise answer
        raise _not_taken("the meter associates with the old keys")

    async def _change_master(self, held: MeterKeys, pending: Pending, setup: str) -> None:
        """The new master key under the old one; first under itself where an earlier change left open which of them holds."""
        doubted = pending.state in _IN_DOUBT
        answer: Answer = False
        took = doubted and await self._has_master(pending, setup, first=True)
        if not took:
            if doubted:
                pending = await self._noted(pending, KeyEvent.OLD_WORKS)
            new = [NewKey(KeyKind.MASTER, pending.keys.kek or b"")]
            session = transfer_keys(self._link, new, held.kek or b"", setup, suite=self._rotation.suite)
            answer = await self._send(session, pending)
            if answer is False:
                self._link, self._trial = await self._means.again()
            took = await self._has_master(pending, setup)
        self._deed.known()
        if took:
            await self._noted(pending, KeyEvent.NEW_WORKS)
            self._end(pending.keys, "the meter has the new master key: it took it again, wrapped with itself")
            return
        self._end(held)
        if not isinstance(answer, DlmsError):
            await self._noted(pending, KeyEvent.OLD_WORKS)
            raise _not_taken("the meter unwraps nothing by the new master key")
        if doubted:
            await self._noted(pending, KeyEvent.NEITHER_WORKS)
            raise _lost(self._rotation, answer)
        await self._forget(await self._noted(pending, KeyEvent.REFUSED))
        raise answer

    async def _judge(self, held: MeterKeys, pending: Pending | None) -> None:
        """A change that may have been sent before: no key is sent any more, and the visit has shown which holds."""
        rotation, took = self._rotation, self._trial.which == "new"
        if rotation.names == _MASTER and pending is not None and pending.state in _IN_DOUBT:
            took = await self._has_master(pending, await self._setup())
            await self._noted(pending, KeyEvent.NEW_WORKS if took else KeyEvent.OLD_WORKS)
        self._deed.known()
        if pending is not None and took:
            held = pending.keys
        elif pending is not None:
            await self._forget(pending)
        if rotation.words(held) == self._deed.before:
            self._end(held)
            raise _not_taken("it was interrupted, and the meter has the keys that it had")
        self._end(held, "found after an interruption: the meter has the new keys")

    def _end(self, keys: MeterKeys, detail: str = "") -> None:
        self._found.after, self._found.detail = self._rotation.words(keys), detail

    # -- what is asked of the meter --------------------------------------------------------------------------------------

    async def _setup(self) -> str:
        if self._rotation.setup:
            return self._rotation.setup
        found: str = await self._means.drive(own_security_setup(self._link))
        return found

    async def _send(self, session: Session[None], pending: Pending) -> Answer:
        """Give the meter keys. Raises `JobError` where nothing was sent."""
        self._sent = False
        await self._noted(pending, KeyEvent.SEND)
        try:
            await self._means.drive_once(self._at_last(session))
        except (DlmsError, JobError) as error:
            if not self._sent:
                await self._forget(await self._noted(pending, KeyEvent.REFUSED))
                raise
            return error if isinstance(error, DlmsError) and error.code in REFUSALS else False
        await self._noted(pending, KeyEvent.ACCEPTED)
        return True

    async def _has_master(self, pending: Pending, setup: str, *, first: bool = False) -> bool:
        """Whether the meter takes the new master key under itself: only where it has it, and then nothing changes."""
        key = pending.keys.kek or b""
        proof = transfer_keys(self._link, [NewKey(KeyKind.MASTER, key)], key, setup, suite=self._rotation.suite)
        try:
            await self._means.drive_once(self._at_last(proof) if first else proof)
        except DlmsError as error:
            if error.code not in REFUSALS:
                raise
            return False
        return True

    def _at_last(self, session: Session[None]) -> Session[None]:
        """The session, if it may still be sent when its first octets go."""
        self._deed.still()
        self._sent = True
        return (yield from session)

    # -- what is asked of the store, on threads --------------------------------------------------------------------------

    async def _known(self) -> tuple[MeterKeys, Pending | None]:
        def ask() -> tuple[MeterKeys, Pending | None]:
            self._means.store.refresh()
            return self._means.store.get(self._ref) or MeterKeys(), self._store.pending(self._ref)

        try:
            return await asyncio.to_thread(ask)
        except KeyStoreError as error:
            raise JobError("key-missing", str(error)) from None

    async def _proposed(self, held: MeterKeys, pending: Pending | None) -> Pending:
        """New keys in the store; those of an earlier change where they are to be sent again. Raises `JobError`."""
        rotation = self._rotation
        if pending is not None and pending.state is not KeyState.PENDING:
            settled = pending.state is KeyState.RECOVERED or rotation.names == _MASTER
            if settled and rotation.changed(held, pending):
                return pending
            detail = (
                f"an earlier change of the keys of meter {rotation.order.meter.id} is {pending.state.value}, and of other "
                f"keys or in doubt: `hes meters keys changes` shows it; settle that before the next, or drop it"
            )
            raise JobError("keys-changing", f"{detail}; nothing was sent", harmless=True)
        try:
            return await asyncio.to_thread(self._store.propose, self._ref, rotation.made())
        except KeyStoreError as error:
            raise _unkept(error) from None

    async def _noted(self, pending: Pending, event: KeyEvent) -> Pending:
        """The change after an event. Nothing is sent that the store does not know; of all else it is told what it can be."""
        try:
            state = await asyncio.to_thread(self._store.note, self._ref, event, pending)
        except (KeyStoreError, ValueError) as error:
            if event is KeyEvent.SEND:
                self._deed.known()
                raise _unkept(error) from None
            meter = self._rotation.order.meter.id
            self._log.warning("keys-not-noted", meter=meter, event_noted=event.value, reason=str(error))
            return pending
        return replace(pending, state=state)

    async def _forget(self, pending: Pending) -> None:
        """Drop keys that were never sent."""
        if pending.state is KeyState.PENDING:
            try:
                await asyncio.to_thread(self._store.drop, self._ref)
            except KeyStoreError as error:
                self._log.warning("keys-not-dropped", meter=self._rotation.order.meter.id, reason=str(error))


def _invalid(why: str) -> JobError:
    return JobError("object-invalid", f"{why}; nothing was sent")


def _not_taken(why: str) -> JobError:
    return JobError("keys-not-taken", f"{why}: its keys are what they were; ask for the change anew", harmless=True)


def _lost(rotation: Rotation, answer: DlmsError) -> JobError:
    meter = rotation.order.meter
    detail = (
        f"meter {meter.id} unwraps keys by neither of its master keys: find out which it has, then "
        f"`hes meters keys promote` or `drop` {meter.key_ref!r}; it said: {answer.detail}"
    )
    return JobError("keys-lost", detail, alarm=True, harmless=True)


def _unkept(error: Exception) -> JobError:
    return JobError("key-store-failed", f"the key store could not keep the change: {error}; nothing was sent", harmless=True)
