"""Steps (`protocols.dlms.objects.steps`) run on the event loop: a session at a time, with room for other work in between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from connectors.protocols.dlms.client_apdus import Session
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.objects.steps import Pause, Steps, T

Drive = Callable[[Session[Any]], Awaitable[Any]]
Rest = Callable[[float], Awaitable[None]]


async def run_steps(steps: Steps[T], drive: Drive, rest: Rest) -> T:
    """Run `steps` to their end: `drive` runs a session, `rest` lets time pass (`port.Way.rest`).

    What a session raises is the steps' to take; what anything else raises ends them.
    """
    result: Any = None
    failed: DlmsError | None = None
    try:
        while True:
            step = steps.send(result) if failed is None else steps.throw(failed)
            result, failed = None, None
            if isinstance(step, Pause):
                await rest(step.seconds)
                continue
            try:
                result = await drive(step)
            except DlmsError as error:
                failed = error
    except StopIteration as ended:
        finished: T = ended.value
        return finished
    finally:
        steps.close()
