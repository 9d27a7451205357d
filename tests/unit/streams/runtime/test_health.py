from __future__ import annotations

import urllib.error
import urllib.request

import pytest

from streams.runtime.clock import ManualClock
from streams.runtime.health import HealthServer
from streams.runtime.settings import Health


def test_alive_means_progress_not_being_there() -> None:
    clock = ManualClock()
    health = HealthServer(Health(port=-1, stuck_s=60), clock)
    clock.advance(59)
    assert health.answer("/health/live")[0] == 200
    clock.advance(1)
    assert health.answer("/health/live")[0] == 503
    health.progress()
    assert health.answer("/health/live")[0] == 200


def test_ready_only_between_start_and_drain() -> None:
    health = HealthServer(Health(port=-1), ManualClock())
    assert health.answer("/health/ready")[0] == 503
    health.ready()
    assert health.answer("/health/ready")[0] == 200
    health.not_ready()
    assert health.answer("/health/ready")[0] == 503


def test_over_http() -> None:
    health = HealthServer(Health(port=0), ManualClock())
    health.start()
    base = f"http://127.0.0.1:{health.port}"
    try:
        with urllib.request.urlopen(f"{base}/metrics") as answer:
            assert b"hes_dead_letters_total" in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="503") as refused:
            urllib.request.urlopen(f"{base}/health/ready")
        refused.value.close()
        with pytest.raises(urllib.error.HTTPError, match="404") as unknown:
            urllib.request.urlopen(f"{base}/")
        unknown.value.close()
    finally:
        health.stop()
