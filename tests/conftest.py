"""What tests of every kind share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from connectors.local.errors import LocalError
from connectors.local.java import find_java, find_maven

# Two runs of one commit try the same examples; `make explore` tries others.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")

CAPTURES = Path(__file__).resolve().parents[2] / "shared" / "captures"


def pytest_configure() -> None:
    """Processes under test end by Ctrl-C also where these tests run in the background, which ignores it for all children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def captures_dir() -> Path:
    """The folder of real telegrams beside the checkout; the test skips where it is absent."""
    if not CAPTURES.is_dir():
        pytest.skip("../shared/captures is absent: telegrams of real meters are not part of the repository")
    return CAPTURES


@pytest.fixture(scope="session")
def jvm() -> None:
    """Skips where Java or Maven is absent."""
    try:
        find_java()
        find_maven()
    except LocalError as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def _logs_as_they_come() -> Iterator[None]:
    """A command or service under test sets up structlog for its process; the next test is another process."""
    yield
    structlog.reset_defaults()
