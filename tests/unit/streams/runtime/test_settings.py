from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from streams.runtime.settings import ClickHouse, Settings


def test_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "hes.toml"
    file.write_text('environment = "file"\n[kafka]\nbootstrap = "file:1"\nsasl_username = "u"\n')
    monkeypatch.setenv("HES_SETTINGS", str(file))
    monkeypatch.setenv("HES_KAFKA__BOOTSTRAP", "env:1")
    settings = Settings()
    assert (settings.environment, settings.kafka.bootstrap, settings.kafka.sasl_username) == ("file", "env:1", "u")


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HES_KAFKA__SASL_PASSWORD", "hunter2")
    monkeypatch.setenv("HES_GATEWAY__MASTER_KEY", "ab" * 32)
    shown = repr(Settings()) + Settings().model_dump_json()
    assert "hunter2" not in shown
    assert "abab" not in shown


def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HES_GATEWAY__TCP_PORT", "70000")
    with pytest.raises(ValidationError, match="tcp_port"):
        Settings()


@pytest.mark.parametrize(
    "name", ["Europe/Vienne", "", "../UTC", "Europe", "/etc/localtime", "UTC\0", "x" * 5_000],
    ids=["misspelt", "empty", "a-way-out", "a-folder", "a-file", "a-zero", "long"],
)  # fmt: skip
def test_a_time_zone_that_is_none_is_refused_at_once(name: str) -> None:
    with pytest.raises(ValidationError, match=r"rollup_zone\n.*there is no time zone .*Europe/Madrid"):
        Settings(clickhouse=ClickHouse.model_validate({"rollup_zone": name}))


def test_a_time_zone_that_is_one_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HES_CLICKHOUSE__ROLLUP_ZONE", "America/St_Johns")
    assert Settings().clickhouse.rollup_zone == "America/St_Johns"
