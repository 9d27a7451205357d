"""What the meters of a fleet share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from connectors.simulator.config import FleetConfig
from connectors.simulator.ledger import Ledger


@dataclass(slots=True)
class Shared:
    """Configuration, truth file, clock, and how many may send at once."""

    config: FleetConfig
    ledger: Ledger
    now_ms: Callable[[], int]
    slots: asyncio.Semaphore
    draining: bool = False
    sequence: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    failures: list[BaseException] = field(default_factory=list)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a meter's sender; one that fails is remembered, so that the fleet ends instead of losing pushes in silence."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(error)

    def next_id(self) -> int:
        """A push id."""
        self.sequence += 1
        return self.sequence
