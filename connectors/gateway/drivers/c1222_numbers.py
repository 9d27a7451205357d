"""Numbers that C12.22 messages bear: ours, which are never used twice, and meters', which are let in once."""

from __future__ import annotations

import secrets

from connectors.protocols.c12.c1222_replay import Replays
from connectors.protocols.c12.titles import ApTitle
from connectors.templates.c12_template import C12Template
from streams.runtime.clock import Clock

_IDS = 1 << 31


class Numbers:
    """Invocation ids and initialisation vectors of this process: the two together are never used twice under one key.

    Ids count from a random one on. The vector is the time in seconds, as the standard has it, and never falls.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._invocation = secrets.randbelow(_IDS)
        self._iv = 0

    def invocation(self) -> int:
        """The next invocation id."""
        self._invocation = (self._invocation + 1) % _IDS
        return self._invocation

    def iv(self) -> bytes:
        """The initialisation vector of now."""
        self._iv = max(self._iv, self._clock.now_ms() // 1000)
        return (self._iv & 0xFFFFFFFF).to_bytes(4, "big")


class Windows:
    """What was heard before, of all meters and over all sessions of this process."""

    def __init__(self, senders: int = 20_000) -> None:
        self._senders = senders
        self._by_kind: dict[tuple[bool, ApTitle], Replays] = {}

    def of(self, template: C12Template) -> Replays:
        """The windows of meters whose IVs are of one kind and whose titles have one base."""
        terms = template.messages
        key = terms.rising, terms.base
        if key not in self._by_kind:
            self._by_kind[key] = Replays(senders=self._senders, ordered=terms.rising, base=terms.base)
        return self._by_kind[key]
