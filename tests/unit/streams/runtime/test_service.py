"""How a service is asked to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest
import structlog

from streams.runtime.service import stop_when_asked


@pytest.fixture(autouse=True)
def _handlers_put_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_midst_of_the_events_own_lock_stops_the_service(number: signal.Signals) -> None:
    stopping = threading.Event()
    stop_when_asked(stopping, structlog.get_logger("service"))
    with stopping._cond:  # type: ignore[attr-defined]  # private: wait() and set() hold it
        os.kill(os.getpid(), number)
        os.getppid()  # the handler has run by now, in this thread; setting the event here would wait for ever
    assert stopping.wait(60)


def test_being_asked_twice_is_being_asked() -> None:
    stopping = threading.Event()
    stop_when_asked(stopping, structlog.get_logger("service"))
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopping.wait(60)
