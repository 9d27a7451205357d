"""Work that takes longer than one association should be kept busy with: images, verifications, slow relays.

    steps = transfer_image(link, image)
    step = next(steps)            a Session to run as any other, whose result is sent back (or its error thrown in),
    step = steps.send(result)     or a Pause: other work may be done on the association, or none, until it has passed

So a driver puts readings between blocks, and waits without a timer in here. An error that leaves the steps has ended them;
what the meter has already is the meter's to tell, and the same work begun anew goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DlmsError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """A place to do something else. `seconds` 0 means: go on at once where there is nothing else."""

    seconds: float = 0.0
    doing: str = ""
    """What the work is about, for a person."""
    done: int = 0
    total: int = 0


Steps: TypeAlias = Generator["Session[Any] | Pause", Any, T]
"""Yields sessions and pauses, is sent the sessions' results, returns T."""


@dataclass(frozen=True, slots=True)
class Polling:
    """How to ask again whether a meter has finished."""

    seconds: float = 10.0
    times: int = 60


POLLING = Polling()


def run_steps(steps: Steps[T], run: Callable[[Session[Any]], Any], pause: Callable[[Pause], None]) -> T:
    """Run `steps` to their end: `run` runs a session, `pause` lets the time pass."""
    result: Any = None
    failed: DlmsError | None = None
    try:
        while True:
            step = steps.send(result) if failed is None else steps.throw(failed)
            result, failed = None, None
            if isinstance(step, Pause):
                pause(step)
                continue
            try:
                result = run(step)
            except DlmsError as error:
                failed = error
    except StopIteration as ended:
        finished: T = ended.value
        return finished
