"""Settings of C12.22: from the sources that all settings have, checked likewise, and closed where nobody set them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from connectors.gateway.drivers.c12 import c12_parts
from connectors.gateway.drivers.c12_settings import C1222, C12Settings
from schemas.records import Protocol
from streams.runtime.clock import ManualClock
from tests.unit.connectors.gateway.builders import FakeKeys, pipeline


def test_from_the_environment_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hes.toml").write_text("[c1222]\ntcp_port = 1\nudp_port = 2\n[gateway]\nhost = '::'\n")
    monkeypatch.setenv("HES_SETTINGS", str(tmp_path / "hes.toml"))
    monkeypatch.setenv("HES_C1222__TCP_PORT", "1153")
    found = C12Settings()
    assert (found.c1222.tcp_port, found.c1222.udp_port, found.gateway.host) == (1153, 2, "::")


@pytest.mark.parametrize(("name", "value"), [("TCP_PORT", "70000"), ("TITLE", "one.two"), ("REGISTRATION_PERIOD_S", "1")])
def test_what_cannot_be_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"HES_C1222__{name}", value)
    with pytest.raises(ValidationError):
        C12Settings()


@pytest.mark.parametrize(("settings", "doors"), [(C1222(), 0), (C1222(udp_port=0), 1)], ids=["closed", "open"])
def test_a_door_where_one_is_set(settings: C1222, doors: int) -> None:
    parts = c12_parts(settings, ManualClock(0), FakeKeys(), {}, pipeline(), announce=0)
    assert len(parts.doors) == doors
    assert [driver.protocol for driver in parts.drivers] == [Protocol.C1222, Protocol.C1218]
