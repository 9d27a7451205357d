"""A gateway that sends itself a signal at one stage of its first command: `python -m tests.integration.staged_gateway`.

HES_TEST_STAGE names the stage, HES_TEST_SIGNAL the signal. `STAGES` are in the order in which a disconnection passes them.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from connectors.gateway.deeds import Commands, Deed
from connectors.gateway.drivers.dlms import DlmsCall
from connectors.gateway.drivers.dlms_relay import Relay
from connectors.gateway.intake import Intake
from connectors.gateway.outcomes import Outcomes
from connectors.gateway.service import main
from connectors.gateway.session import MeterLink
from connectors.gateway.worker import Worker
from streams.runtime.settings import Settings

STAGES = {
    "taken": (Worker, "take", "before"),
    "admitted": (Commands, "admit", "after"),
    "proven": (Deed, "prove", "after"),
    "associated": (DlmsCall, "open", "after"),
    "looked": (Deed, "intend", "before"),
    "claimed": (Deed, "_claim", "after"),
    "intended": (Deed, "intend", "after"),
    "about-to-send": (Deed, "still", "after"),
    "sent": (MeterLink, "_put", "after"),
    "answered": (Relay, "look", "again"),
    "settling": (Deed, "settle", "before"),
    "settled": (Deed, "settle", "after"),
    "telling": (Outcomes, "conclude", "before"),
    "told": (Intake, "finish", "before"),
}
INTENDED = tuple(STAGES)[6:]
"""From here on an intent is in Kafka."""
SENT = tuple(STAGES)[8:]
"""From here on the octets were sent."""
SETTLED = tuple(STAGES)[11:]


def stage(name: str, number: int) -> None:
    """Arm the signal."""
    cls, method, when = STAGES[name]
    wrapped: Callable[..., Any] = getattr(cls, method)
    state = {"calls": 0, "done": False}

    def here(args: tuple[Any, ...]) -> None:
        if name == "sent" and not _acts(args[1]):
            return
        if name == "telling" and not any(item.task.deed is not None for item in args[1]):
            return
        if not state["done"]:
            state["done"] = True
            os.kill(os.getpid(), number)

    @wraps(wrapped)
    def plain(*args: Any, **more: Any) -> Any:
        state["calls"] += 1
        if when == "before" or (when == "again" and state["calls"] == 2):
            here(args)
        result = wrapped(*args, **more)
        if when == "after":
            here(args)
        return result

    @wraps(wrapped)
    async def waiting(*args: Any, **more: Any) -> Any:
        if when == "before":
            here(args)
        result = await wrapped(*args, **more)
        if when == "after":
            here(args)
        return result

    setattr(cls, method, waiting if inspect.iscoroutinefunction(wrapped) else plain)


def _acts(frame: bytes) -> bool:
    """Whether a wrapper frame holds an action request."""
    return len(frame) > 8 and frame[8] == 0xC3


if __name__ == "__main__":
    stage(os.environ["HES_TEST_STAGE"], int(getattr(signal, os.environ["HES_TEST_SIGNAL"])))
    sys.exit(main(Settings()))
