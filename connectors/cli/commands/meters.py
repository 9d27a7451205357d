"""`hes meters`: the meter registry, on hes.meters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.cli import context
from connectors.cli.commands import meter_keys
from connectors.cli.failure import DONE_WITH_FAILURES, CommandError, unreachable, usage
from connectors.cli.output import FormatOption, dumps, emit, progress, row_of, say
from connectors.cli.topics import decoded, read_topic
from schemas.codec import CodecError
from schemas.records import Meter, MeterState
from schemas.registry import RegistryError
from streams.runtime.clock import SystemClock
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.kafka import Publisher
from streams.runtime.settings import Settings
from streams.runtime.tracing import headers_of

TOPIC = "hes.meters"
_PLACE = ("feeder", "transformer", "time_zone", "life_support", "groups", "segment", "network")
"""What belongs to the place, not to the meter that hangs there."""
meters = typer.Typer(help="The meter registry: import shipment files, list, show, exchange.", no_args_is_help=True)


@meters.command("import")
def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="CSV, or JSON one object a line")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only read and check")] = False,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Import meters, keys included: keys go to the encrypted key store, everything else to hes.meters.

    A row that is wrong is reported with its line, the others are imported, and the exit code is 1.
    """
    from connectors.cli.shipment import Row, read_shipment, shared  # noqa: PLC0415

    given = context.settings()
    read: list[tuple[Path, Row]] = []
    wrong = 0
    for file in files:
        for item in read_shipment(file):
            if isinstance(item, Row):
                read.append((file, item))
            else:
                wrong += 1
                say(f"[yellow]{file}, line {item.line}[/]: {item.detail}")
    rows = [row for _, row in read]
    refused = shared(rows, _owners(given, rows, reads_registry=not dry_run))
    for place, holder in refused.items():
        file, row = read[place]
        say(
            f"[yellow]{file}, line {row.line}[/]: key-shared: meter {row.meter.id} names the key reference "
            f"{row.meter.key_ref!r}, which is meter {holder}'s; give each meter a reference and keys of its own"
        )
    wrong += len(refused)
    rows = [row for place, row in enumerate(rows) if place not in refused]
    if not dry_run and rows:
        import_rows(given, rows)
    emit([{"imported": 0 if dry_run else len(rows), "checked": len(rows), "wrong": wrong}], format)
    if wrong:
        raise typer.Exit(DONE_WITH_FAILURES)


def _owners(given: Settings, rows: list[Any], *, reads_registry: bool) -> Callable[[str], str]:
    """Whose a key reference is: as the key store has it, and the registry where a row names another than its id."""
    from connectors.cli.keystore import known_owners  # noqa: PLC0415 - cryptography takes its time to load

    owner = known_owners(given)
    if not reads_registry or all(row.meter.key_ref == row.meter.id for row in rows):
        return owner
    registered = {meter.key_ref: meter.id for meter in registry(given).values() if meter.state is not MeterState.EXCHANGED}
    return lambda ref: owner(ref) or registered.get(ref, "")


def import_rows(given: Settings, rows: list[Any]) -> None:
    """Keys to the key store first, so that no meter is known whose keys are not; then meters to the topic."""
    from connectors.cli.keystore import key_store  # noqa: PLC0415 - cryptography takes its time to load
    from connectors.gateway.errors import KeyStoreError  # noqa: PLC0415

    keys = {row.meter.key_ref: row.keys for row in rows if row.keys is not None}
    if keys:
        try:
            key_store(given).put_many(keys)
        except KeyStoreError as error:
            raise CommandError(str(error)) from error
    now = SystemClock().now_ms()
    send_meters(given, [replace(row.meter, updated_at=now) for row in rows])


def send_meters(given: Settings, records: list[Meter]) -> None:
    """Write meters to the registry, and wait until Kafka has them."""
    codec, publisher = context.codec(given), Publisher(given.kafka, "hes-cli")
    try:
        with progress(len(records), "writing meters") as bar:
            for meter in records:
                headers = headers_of(meter, source="cli", at_ms=meter.updated_at)
                publisher.send(TOPIC, meter.id, codec.encode(meter), headers)
                bar.advance(bar.task_ids[0])
        publisher.flush()
    except (TemporaryError, RegistryError) as error:
        raise unreachable(str(error)) from error
    except (CodecError, FatalError) as error:
        raise CommandError(str(error)) from error


@meters.command("list")
def list_(
    state: Annotated[MeterState | None, typer.Option(help="in this state only")] = None,
    segment: Annotated[str, typer.Option(help="of this segment only")] = "",
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """List the meters that are known, discovered ones included."""
    found = sorted(registry(context.settings()).values(), key=lambda meter: meter.id)
    emit(
        (
            {
                "id": meter.id,
                "state": meter.state,
                "vendor": meter.vendor,
                "model": meter.model,
                "template": meter.template,
                "network": meter.network,
                "segment": meter.segment,
                "transformer": meter.transformer,
                "endpoint": meter.endpoint,
            }
            for meter in found
            if (state is None or meter.state is state) and (not segment or meter.segment == segment)
        ),
        format,
        empty="no meters yet; `hes meters import FILE` brings them",
    )


@meters.command()
def show(meter_id: Annotated[str, typer.Argument(metavar="ID", help="the meter's id")]) -> None:
    """Show all that is known of a meter, but no key."""
    meter = registry(context.settings()).get(meter_id)
    if meter is None:
        raise CommandError(f"there is no meter {meter_id}", mend="`hes meters list` shows those that are known")
    print(dumps(row_of(meter)))


@meters.command()
def exchange(
    old: Annotated[str, typer.Argument(metavar="OLD", help="the meter that was taken down")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="the meter that hangs in its place; imported before")],
) -> None:
    """Note that a meter was exchanged: the new one takes over the place (transformer, feeder, groups, life support)."""
    given = context.settings()
    known = registry(given)
    for meter_id in (old, new):
        if meter_id not in known:
            raise CommandError(f"there is no meter {meter_id}", mend="`hes meters list` shows those that are known")
    if old == new or known[old].state is MeterState.EXCHANGED:
        raise usage(
            f"{old} cannot be exchanged for {new}", "give two meters; the old one must not have been exchanged before"
        )
    now = SystemClock().now_ms()
    gone = replace(known[old], state=MeterState.EXCHANGED, exchanged_for=new, updated_at=now)
    place = {name: getattr(known[old], name) for name in _PLACE}
    send_meters(given, [gone, replace(known[new], state=MeterState.NORMAL, updated_at=now, **place)])
    print(dumps({"exchanged": old, "for": new}))


def registry(given: Settings) -> dict[str, Meter]:
    """The latest record of every meter; one whose latest is a deletion is not known."""
    latest = {message.key(): message for message in read_topic(given, TOPIC)}
    known: dict[str, Meter] = {}
    unread: list[CodecError] = []
    for _, record in decoded(given, iter([message for message in latest.values() if message.value() is not None])):
        if isinstance(record, Meter):
            known[record.id] = record
        elif isinstance(record, CodecError):
            unread.append(record)
    if unread:
        say(f"[yellow]note[/]: {len(unread)} records on {TOPIC} cannot be read; the first: {unread[0]}")
    return known


def register(app: typer.Typer) -> None:
    """Put the group on the tree."""
    meters.add_typer(meter_keys.keys, name="keys")
    app.add_typer(meters, name="meters")
