"""The cap on relay openings a minute, over all workers: claims on hes.openings, which has one partition and so one order.

    claim ─▶ hes.openings ─▶ read back by every worker, in the same order ─▶ granted where fewer than the cap were granted
                                                                             in the minute before it, else denied

Whoever reads the topic comes to the same grants, so no worker leads and none has a share that another would miss. Times are
the broker's. A claim that is granted and not used in the end counts all the same: the cap errs on the side of the customer.
"""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from confluent_kafka import Message

from schemas.records import Opening
from streams.runtime.follow import Follower, read_records
from streams.runtime.service import Runtime

TOPIC = "hes.openings"
WINDOW_MS = 60_000
_MOST_KNOWN = 10_000


class Cap:
    """Which claims of a log are within the cap: pure, fed in the log's order. From any thread."""

    def __init__(self, most: int, window_ms: int = WINDOW_MS) -> None:
        self._most = most
        self._window_ms = window_ms
        self._granted: deque[int] = deque()
        self._verdicts: OrderedDict[str, bool] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, claim_id: str, at_ms: int) -> bool:
        """The next claim of the log."""
        with self._lock:
            # The log's times may stand still or fall a little where its broker changes: then they count as the latest.
            at_ms = max(at_ms, self._granted[-1]) if self._granted else at_ms
            self._forget(at_ms)
            granted = len(self._granted) < self._most
            if granted:
                self._granted.append(at_ms)
            self._verdicts[claim_id] = granted
            while len(self._verdicts) > _MOST_KNOWN:
                self._verdicts.popitem(last=False)
            return granted

    def verdict(self, claim_id: str) -> bool | None:
        """Whether a claim was granted; None where it has not been read."""
        with self._lock:
            return self._verdicts.get(claim_id)

    def free_in_ms(self, now_ms: int) -> int:
        """How long until a claim can be granted, as far as is known here; 0 is now."""
        with self._lock:
            if self._most <= 0:
                return self._window_ms
            if len(self._granted) < self._most:
                return 0
            return max(0, self._granted[-self._most] + self._window_ms - now_ms)

    def _forget(self, now_ms: int) -> None:
        while self._granted and now_ms - self._granted[0] >= self._window_ms:
            self._granted.popleft()


class Openings:
    """Claims of this worker, and what becomes of them."""

    def __init__(self, runtime: Runtime, most: int, owner: str) -> None:
        self._runtime = runtime
        self._owner = owner
        self._cap = Cap(most)
        self._follower = Follower(runtime, TOPIC, self._take)
        self._waiting: dict[str, Callable[[bool], None]] = {}
        self._lock = threading.Lock()

    @property
    def caught_up(self) -> bool:
        """Whether what was claimed before is known."""
        return self._follower.caught_up

    def start(self) -> None:
        """Begin to read."""
        self._follower.start()

    def stop(self) -> None:
        """Stop reading."""
        self._follower.stop()

    def check(self) -> None:
        """Raises what ended the thread."""
        self._follower.check()

    def free_in_ms(self, now_ms: int) -> int:
        """See `Cap.free_in_ms`."""
        return self._cap.free_in_ms(now_ms)

    def claim(self, meter_id: str, digest: bytes, told: Callable[[bool], None]) -> Callable[[], None]:
        """Claim one opening; `told` is called on a thread with the verdict, or never where Kafka is away. What is returned
        takes the question back, not the claim. Raises `DeliveryError` where it cannot be written.
        """
        name = uuid.uuid4().hex
        with self._lock:
            self._waiting[name] = told
        runtime = self._runtime
        record = Opening(name, meter_id, digest, self._owner, runtime.clock.now_ms(), runtime.settings.environment)
        runtime.publisher.send(TOPIC, meter_id, runtime.codec.encode(record), None, lambda _error: None)

        def forget() -> None:
            with self._lock:
                self._waiting.pop(name, None)

        return forget

    def _take(self, messages: Sequence[Message]) -> None:
        for _, record, message in read_records(self._runtime, messages):
            if not isinstance(record, Opening) or record.environment != self._runtime.settings.environment:
                continue
            granted = self._cap.take(record.id, message.timestamp()[1])
            with self._lock:
                told = self._waiting.pop(record.id, None)
            if told is not None:
                told(granted)
