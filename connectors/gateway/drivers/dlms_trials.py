"""An association with whichever key a meter holds, while its keys are being changed; and word of it to the key store.

trial ─▶ stands ─▶ the store is told which key holds ─▶ jobs
  └─▶ the meter does not know the key, or says nothing ─▶ the next trial, on a connection of its own
  └─▶ anything else: the visit ends as any other
none stood, each for its key ─▶ the store is told that neither holds ─▶ keys-lost
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from connectors.gateway.access import Trial
from connectors.gateway.drivers.dlms_faults import dlms_fault
from connectors.gateway.errors import JobError, KeyStoreError
from connectors.gateway.keystore import KeyChanges, KeyStore
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.objects.security_setup import MOVES, KeyEvent
from schemas.records import Meter

WRONG_KEY = frozenset(("peer-association-refused", "peer-authentication", "peer-exception", "cipher-authentication"))
"""What comes of another key than the meter's."""
_SILENT = frozenset(("answer-timeout", "connection-lost", "peer-closed", "link-timeout"))
"""What may come of it, too: there are meters that say nothing to what they cannot decipher. It proves nothing."""
_STANDS = {"new": KeyEvent.NEW_WORKS, "old": KeyEvent.OLD_WORKS}


@dataclass(frozen=True, slots=True)
class Trying:
    """How a call associates."""

    meter: Meter
    store: KeyStore
    attempt: Callable[[Trial], Awaitable[None]]
    hang_up: Callable[[], None]
    """Part with the connection: a meter that refused an association may take no other on it."""


async def associate_by(trials: Sequence[Trial], trying: Trying) -> Trial:
    """Associate by the first trial that stands. Raises what the last of them did, `JobError` "keys-lost" where the meter
    has neither the old keys nor the new ones.
    """
    wrong = 0
    for number, trial in enumerate(trials, 1):
        try:
            await trying.attempt(trial)
        except (DlmsError, JobError) as error:
            wrong += error.code in WRONG_KEY
            if number < len(trials) and error.code in WRONG_KEY | _SILENT:
                log = structlog.get_logger("visit")
                log.info("keys-not-these", meter=trying.meter.id, keys=trial.which, code=error.code)
                trying.hang_up()
                continue
            if error.code not in WRONG_KEY:
                raise
            fault = await _refused(error, trial, trying, lost=1 < wrong == len(trials))
            if fault is None:
                raise
            raise fault from error
        if trial.pending is not None:
            await told(trying.store, trying.meter, trial, _STANDS[trial.which])
        return trial
    raise ValueError("no trial")


async def told(store: KeyStore, meter: Meter, trial: Trial, event: KeyEvent) -> None:
    """Tell the store what a trial has shown. Where it cannot be told, or knows it already, the next visit tells it."""
    pending = trial.pending
    if pending is None or (pending.state, event) not in MOVES or not isinstance(store, KeyChanges):
        return
    log = structlog.get_logger("visit")
    try:
        state = await asyncio.to_thread(store.note, meter.key_ref, event, pending)
    except (KeyStoreError, ValueError) as error:
        log.warning("keys-not-noted", meter=meter.id, event_noted=event.value, reason=str(error))
    else:
        log.info("keys-noted", meter=meter.id, state=state.value)


async def _refused(error: DlmsError | JobError, trial: Trial, trying: Trying, *, lost: bool) -> JobError | None:
    """What a visit ends in whose last trial was not with the meter's key, where that is not the error itself."""
    if lost:
        await told(trying.store, trying.meter, trial, KeyEvent.NEITHER_WORKS)
        detail = (
            f"meter {trying.meter.id} has neither the keys that held nor those that were sent to it: find out which it has, "
            f"then `hes meters keys promote` or `drop` {trying.meter.key_ref!r}, or `hes meters import --replace-keys`; "
            f"it said: {error.detail}"
        )
        return JobError("keys-lost", detail, alarm=True)
    fault = error if isinstance(error, JobError) else dlms_fault(error)
    if fault is not None and trying.store.refresh():
        detail = f"{fault.detail}; the key store has changed meanwhile"
        return JobError(fault.code, detail, retry=True, alarm=fault.alarm)
    return None
