"""A signal that a process sends itself at one stage of its work, by a hook in the code that does it.

HES_TEST_STAGE names the stage, HES_TEST_SIGNAL the signal. It is sent once in a process's life.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any


@dataclass(frozen=True, slots=True)
class Stage:
    """Before or after a call of a method that `fits`, which is given its arguments and what came of it."""

    cls: type
    method: str
    after: bool = True
    fits: Callable[[tuple[Any, ...], Any], bool] = lambda _args, _result: True
    first: Callable[[Any], object] = lambda _self: None
    """Done before the signal, with the method's object: such as to have Kafka hold what was written so far."""


def arm(stages: Mapping[str, Stage]) -> None:
    """Arm the signal that the environment names."""
    stage = stages[os.environ["HES_TEST_STAGE"]]
    number = signal.Signals[os.environ["HES_TEST_SIGNAL"]]
    wrapped: Callable[..., Any] = getattr(stage.cls, stage.method)
    sent: list[int] = []

    def here(args: tuple[Any, ...], result: Any) -> None:
        if not sent and stage.fits(args, result):
            sent.append(number)
            stage.first(args[0])
            os.kill(os.getpid(), number)

    @wraps(wrapped)
    def hooked(*args: Any, **more: Any) -> Any:
        if not stage.after:
            here(args, None)
        result = wrapped(*args, **more)
        if stage.after:
            here(args, result)
        return result

    setattr(stage.cls, stage.method, hooked)
