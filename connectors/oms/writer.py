"""Batches written one after the other on a thread of its own, so that alarms are taken in while Kafka commits one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

from connectors.oms.core import Out
from streams.runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Batch:
    """What is written together."""

    outs: Sequence[Out]
    positions: Mapping[str, int]
    """Up to where it accounts for the input."""
    arrivals: Sequence[int]
    """When the alarms came in that it tells of for the first time."""
    began: float


@dataclass(frozen=True, slots=True)
class Written:
    """A batch that is written, and when it was."""

    batch: Batch
    at_ms: int
    took_s: float


class Writer:
    """Runs from its making until `close`, or until a batch cannot be written: then it is of no use any more."""

    def __init__(self, write: Callable[[Sequence[Out]], None], clock: Clock) -> None:
        self._write = write
        self._clock = clock
        self._waiting: SimpleQueue[Batch | None] = SimpleQueue()
        self._submitted = 0
        self._ended = 0
        self._written: deque[Written] = deque()
        self._failure: BaseException | None = None
        self._over = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    @property
    def free(self) -> bool:
        """Whether all is written. A batch that waited for another one would hold up what comes meanwhile, and say less."""
        return self._submitted == self._ended

    def submit(self, batch: Batch) -> None:
        """Have a batch written after all before it; best while the writer is `free`."""
        self._submitted += 1
        self._waiting.put(batch)

    def written(self) -> list[Written]:
        """What was written since the last call, in order. Raises what writing raised, if it did: nothing after that was."""
        if self._failure is not None:
            raise self._failure
        return [self._written.popleft() for _ in range(len(self._written))]

    def close(self) -> None:
        """End, once what is being written is; what waits is not."""
        self._over = True
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._waiting.get()) is not None and not self._over:
            try:
                self._write(batch.outs)
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised where the batch came from
                self._failure = error
                return
            self._written.append(Written(batch, self._clock.now_ms(), self._clock.monotonic() - batch.began))
            self._ended += 1
