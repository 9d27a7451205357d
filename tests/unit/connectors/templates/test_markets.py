"""What the templates of whole markets say, and that their codes are not mixed up with those of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.templates.loader import load_templates
from connectors.templates.schema import TemplateError

TEMPLATES = load_templates()


@pytest.mark.parametrize(
    ("name", "client", "auth", "counter", "logs"),
    [
        pytest.param("idis-2", 1, "hls-gmac", "0.0.43.1.0.255", 7, id="idis-2"),
        pytest.param("idis-3", 1, "hls-gmac", "0.0.43.1.0.255", 7, id="idis-3"),
        pytest.param("smr5", 1, "hls-gmac", "0.0.43.1.0.255", 8, id="smr5"),
        pytest.param("esmr5", 1, "hls-gmac", "0.0.43.1.0.255", 8, id="esmr5"),
        pytest.param("india", 48, "hls-gmac", "0.0.43.1.3.255", 7, id="india"),
        pytest.param("spain", 2, "low", None, 11, id="spain"),
        pytest.param("portugal", 1, "low", None, 11, id="portugal"),
        pytest.param("linky-g3", 1, "hls-gmac", None, 5, id="linky-g3"),
    ],
)
def test_how_it_is_read(name: str, client: int, auth: str, counter: str | None, logs: int) -> None:
    pull = TEMPLATES[name].pull
    assert (pull.client, pull.auth, pull.counter, len(pull.event_logs)) == (client, auth, counter, logs)
    assert not pull.clients or client in pull.clients.values()
    assert len(set(pull.event_logs)) == logs


def test_dutch_meters() -> None:
    pull, push = TEMPLATES["smr5"].pull, TEMPLATES["smr5"].push
    assert dict(pull.profiles)["power-quality-1"] == "1.0.99.1.1.255"
    assert (pull.mbus_channels, pull.billing_profile) == ((1, 2, 3, 4), "0.0.98.1.0.255")
    assert set(pull.alarm_registers) <= set(push.alarms)
    assert push.alarms["0.0.97.98.2.255"].entries[0].kind == "OUTAGE"


def test_indian_codes_are_indian() -> None:
    template = TEMPLATES["india"]
    assert template.push.deviation_reversed
    assert set(template.push.events) == {f"0.0.96.11.{e}.255" for e in range(7)}
    codes = template.push.events["0.0.96.11.2.255"].entries
    assert [codes[code].kind for code in (101, 102, 1, 251, 201, 65)] == [
        "OUTAGE", "RESTORATION", "VOLTAGE", "TAMPER_COVER", "TAMPER_MAGNET", "TAMPER_BYPASS",
    ]  # fmt: skip
    assert 40 not in codes  # of DSMR and IDIS, a terminal cover
    assert set(template.push.alarms) == {"0.0.94.91.18.255"}


@pytest.mark.parametrize("name", ["spain", "portugal", "linky-g3"])
def test_codes_that_nobody_published_are_not_guessed(name: str) -> None:
    assert not TEMPLATES[name].push.events
    assert TEMPLATES[name].push.alarms == TEMPLATES["generic"].push.alarms


def test_replaces(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "extends: idis\nreplaces: [push.events]\npush:\n"
        "  events:\n    0.0.96.11.0.255: {table: t, codes: {1: {kind: CLOCK}}}\n"
    )
    mine = load_templates(tmp_path)["mine"]
    assert {name: set(table.entries) for name, table in mine.push.events.items()} == {"0.0.96.11.0.255": {1}}
    assert mine.push.alarms == TEMPLATES["idis"].push.alarms
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.yaml").write_text("replaces: [push.evnts]")
    with pytest.raises(TemplateError, match=r"did you mean 'push\.events'"):
        load_templates(other)
