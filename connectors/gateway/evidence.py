"""What a push shows of a change of keys, told to the key store: on threads, since it blocks, and once for many pushes."""

from __future__ import annotations

import asyncio

import structlog

from connectors.gateway.errors import KeyStoreError
from connectors.gateway.keystore import KeyChanges, KeyStore, Pending
from connectors.protocols.dlms.objects.security_setup import KeyEvent


class Evidence:
    """Meters that have their new keys. On the event loop."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._telling: dict[str, asyncio.Task[None]] = {}

    def new_works(self, ref: str, pending: Pending) -> None:
        """The meter of this key reference has pushed under the keys of `pending`."""
        store = self._store
        if isinstance(store, KeyChanges) and ref not in self._telling:
            task = asyncio.get_running_loop().create_task(asyncio.to_thread(_tell, store, ref, pending))
            self._telling[ref] = task
            task.add_done_callback(lambda _: self._telling.pop(ref, None))


def _tell(store: KeyChanges, ref: str, pending: Pending) -> None:
    """Where it cannot be told, the next push or visit tells it."""
    log = structlog.get_logger("keys")
    try:
        store.note(ref, KeyEvent.NEW_WORKS, pending)
    except (KeyStoreError, ValueError) as error:
        log.warning("keys-not-noted", key_ref=ref, event_noted=KeyEvent.NEW_WORKS.value, reason=str(error))
    else:
        log.info("keys-noted", key_ref=ref, by="push")
