"""Invocation counters of pushes: one that comes again, or falls, with other content is somebody else's, or a replay.

Kept in memory by each worker: after a restart, or on another worker, the first telegram of a meter sets the mark. So this
notices; what prevents a replay from doing harm is that a telegram's events have the same ids each time.
"""

from __future__ import annotations

from hashlib import blake2b

_RECENT = 8
_DIGEST = 8


class Counters:
    """Per system title the highest counter seen, and the last few telegrams, which a meter may send again as they were."""

    def __init__(self, meters: int = 1_000_000) -> None:
        self._limit = meters
        self._seen: dict[bytes, tuple[int, bytes]] = {}

    def replayed(self, system_title: bytes, counter: int, telegram: bytes) -> bool:
        """Note a telegram whose authenticity is proven; true where its counter is not above the highest and it is no
        resend.
        """
        digest = blake2b(telegram, digest_size=_DIGEST).digest()
        known = self._seen.get(system_title)
        if known is None:
            if len(self._seen) >= self._limit:
                del self._seen[next(iter(self._seen))]
            self._seen[system_title] = counter, digest
            return False
        highest, recent = known
        if any(recent[at : at + _DIGEST] == digest for at in range(0, len(recent), _DIGEST)):
            return False
        self._seen[system_title] = max(highest, counter), (digest + recent)[: _RECENT * _DIGEST]
        return counter <= highest
