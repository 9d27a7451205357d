"""`hes doctor`: every dependency and setting, and what to do about each that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from confluent_kafka import KafkaException

from connectors.cli import context
from connectors.cli.failure import DONE_WITH_FAILURES
from connectors.cli.output import FormatOption, emit, say
from schemas.registry import RegistryError, RemoteRegistry
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.kafka import admin_client
from streams.runtime.settings import Settings

if TYPE_CHECKING:
    from connectors.local.doctor import Check


def doctor(
    settings: Annotated[bool, typer.Option("--settings", help="every setting as merged, secrets masked")] = False,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Check what this machine and the settings need; the exit code is 1 where something fails."""
    if settings:
        emit(_flat("", context.settings().model_dump(mode="json")), format)
        return
    from connectors.local.doctor import check_all

    found = check_all(context.home())
    if all(item.ok for item in found if item.name == "settings"):
        found += reachable(context.settings())
    emit(
        [{"check": item.name, "ok": item.ok, "found": item.detail, "to do": "" if item.ok else item.mend} for item in found],
        format,
    )
    if not all(item.ok for item in found):
        raise typer.Exit(DONE_WITH_FAILURES)
    say("all is well")


def reachable(given: Settings) -> list[Check]:
    """Whether what the settings name answers; what nobody set, and no local stack has, is not asked."""
    from connectors.clickhouse.store import open_store
    from connectors.local.doctor import Check

    def kafka() -> str:
        brokers = admin_client(given.kafka).list_topics(timeout=5).brokers
        return f"{len(brokers)} of its brokers at {given.kafka.bootstrap}"

    def registry() -> str:
        number = RemoteRegistry(given.registry.url).registered("Meter")
        return given.registry.url + ("" if number else ": this release's schemas are not there yet, `hes topology apply`")

    def clickhouse() -> str:
        store = open_store(given.clickhouse)
        try:
            return "version " + ".".join(map(str, store.ping()))
        finally:
            store.close()

    checks: list[Check] = []
    for group, name, ask in (
        ("kafka", "bootstrap", kafka),
        ("registry", "url", registry),
        ("clickhouse", "url", clickhouse),
    ):
        if name not in getattr(given, group).model_fields_set:
            continue
        try:
            checks.append(Check(f"{group} answers", ok=True, detail=ask()))
        except (KafkaException, TemporaryError, FatalError, RegistryError) as error:
            detail = error.args[0].str() if isinstance(error, KafkaException) else str(error)
            mend = f"start it (`hes local up`), or correct HES_{group.upper()}__{name.upper()}"
            checks.append(Check(f"{group} answers", ok=False, detail=detail, mend=mend))
    return checks


def _flat(prefix: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, value in values.items():
        full = f"{prefix}__{name}" if prefix else name
        rows += _flat(full, value) if isinstance(value, dict) else [{"variable": f"HES_{full.upper()}", "value": value}]
    return rows


def register(app: typer.Typer) -> None:
    """Put the command on the tree."""
    app.command()(doctor)
