"""Pages that state what the code states: held together here."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from connectors.clickhouse.errors import CODES as SINK
from connectors.gateway.errors import ALARM_CODES, JOB_CODES, PUSH_CODES, RECORD_CODES
from connectors.oms.alarms import CODES as OMS
from connectors.protocols.c12.errors import CODES as C12
from connectors.protocols.dlms.errors import CODES as DLMS
from schemas.codec import CODES as CODEC
from schemas.topology import load
from schemas.topology_draw import mermaid
from streams.firmware.codes import CODES as FIRMWARE
from streams.followup.errors import CODES as FOLLOWUP
from streams.gaps.outputs import CODES as GAPS
from streams.runtime import metrics
from streams.runtime.dead_letters import CODES as LETTERS
from streams.runtime.image_book import CODES as IMAGES
from streams.schedules.rules import CODES as SCHEDULES

ROOT = Path(__file__).parents[2]


PAGES = {
    "dlms": DLMS,
    "c12": C12,
    "push": PUSH_CODES,
    "alarm": ALARM_CODES,
    "job": JOB_CODES,
    "record": RECORD_CODES,
    "codec": CODEC,
    "sink": SINK,
    "oms": OMS,
    "firmware": FIRMWARE,
    "images": IMAGES,
    "letters": LETTERS,
    "followup": FOLLOWUP,
    "schedules": SCHEDULES,
    "gaps": GAPS,
}


@pytest.mark.parametrize("codes", PAGES.values(), ids=PAGES)
def test_every_code_is_explained_as_the_code_explains_it(codes: dict[str, str]) -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    missing = [code for code, meaning in codes.items() if f"| `{code}` | {meaning} |" not in page]
    assert missing == []


def test_every_metric_is_listed() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    known = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    assert [metric._name for metric in known if f"`{metric._name}" not in page or metric._documentation not in page] == []


def test_the_readme_shows_the_topology_as_the_command_draws_it() -> None:
    assert mermaid(load(ROOT / "topology.yaml")) in (ROOT / "README.md").read_text()
