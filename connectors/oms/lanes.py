"""What is to be looked at, and when: in the order in which it came, each some time after. Pure."""

from __future__ import annotations


class Lane:
    """Keys that each wait for `wait_ms` from when they first came; who is taken with others may be so much `early_ms`."""

    def __init__(self, wait_ms: int, early_ms: int = 0) -> None:
        self._wait_ms = wait_ms
        self._least_ms = wait_ms - early_ms
        self._waiting: dict[str, tuple[int, str]] = {}  # key → when it came, and the trace of what brought it

    def add(self, key: str, now: int, trace: str = "") -> None:
        """A key; one that waits already waits no longer for it."""
        self._waiting.setdefault(key, (now, trace))

    def take(self, now: int) -> dict[str, str]:
        """The keys that have waited, or nearly, with their traces; they wait no more. A clock that was set back holds nobody
        up.
        """
        found = {}
        for key, (at, trace) in self._waiting.items():
            if at <= now < at + self._least_ms:
                break
            found[key] = trace
        self.drop(found)
        return found

    def drop(self, keys: dict[str, str]) -> None:
        """Keys that need not wait any more."""
        for key in keys:
            self._waiting.pop(key, None)

    def wait_ms(self, now: int) -> int | None:
        """How long until the first has waited; None where nobody waits."""
        for at, _ in self._waiting.values():
            return max(0, at + self._wait_ms - now) if at <= now else 0
        return None
