from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from streams.runtime.logging import configure
from streams.runtime.settings import Log


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


SECRET = "hunter2"


def fail(password: str) -> None:
    raise ValueError(f"a password of {len(password)} characters is no good")


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_traceback_shows_no_locals(format_: Literal["json", "console"], capsys: pytest.CaptureFixture[str]) -> None:
    configure("gateway", Log(format=format_))
    try:
        fail(SECRET)
    except ValueError:
        structlog.get_logger("x").exception("failed")
        logging.getLogger("other").exception("failed, too")
    shown = capsys.readouterr().err
    assert "is no good" in shown
    assert SECRET not in shown


def test_one_json_object_a_line_whoever_logs(capsys: pytest.CaptureFixture[str]) -> None:
    configure("split", Log())
    structlog.get_logger("x").info("ours", records=3)
    logging.getLogger("theirs").warning("with %s", "arguments")
    logging.getLogger("aiokafka").info("noise")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line["level"], line["service"]) for line in lines] == [
        ("ours", "info", "split"),
        ("with arguments", "warning", "split"),
    ]
    assert lines[0]["records"] == 3
