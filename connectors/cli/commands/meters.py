"""`hes meters`: the meter registry, on hes.meters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from confluent_kafka import Message

from connectors.cli import context
from connectors.cli.commands import meter_keys
from connectors.cli.failure import DONE_WITH_FAILURES, CommandError, unreachable, usage
from connectors.cli.output import FormatOption, dumps, emit, progress, row_of, say
from connectors.cli.topics import Span, decoded, read_topic, tell_unread
from schemas.codec import CodecError
from schemas.records import Meter, MeterState
from schemas.registry import RegistryError
from streams.runtime.clock import SystemClock
from streams.runtime.errors import FatalError, TemporaryError
from streams.runtime.kafka import Publisher
from streams.runtime.settings import Settings
from streams.runtime.tracing import header, headers_of

if TYPE_CHECKING:
    from connectors.cli.registering import Kept
    from connectors.cli.shipment import Row
    from connectors.gateway.keystore import FileKeyStore

TOPIC = "hes.meters"
_SHOWN = 10
_PLACE = ("feeder", "transformer", "time_zone", "life_support", "groups", "segment", "network")
"""What belongs to the place, not to the meter that hangs there."""
meters = typer.Typer(help="The meter registry: import shipment files, list, show, exchange.", no_args_is_help=True)


@meters.command("import")
def import_(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", exists=True, dir_okay=False, help="CSV, or JSON one object a line")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only read and check")] = False,
    replace_keys: Annotated[
        bool, typer.Option("--replace-keys", help="also keys that the gateway made: the meters have the file's again")
    ] = False,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Import meters, keys included: keys go to the encrypted key store, everything else to hes.meters.

    A row that is wrong is reported with its line, the others are imported, and the exit code is 1. What a meter itself told
    of its firmware or hardware stays, whatever the file says, and so do keys that the gateway made, unless --replace-keys is
    given; keys that are being changed are refused.
    """
    from connectors.cli.registering import changing, keeping
    from connectors.cli.shipment import Row, read_shipment, shared, twice

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
    if not read and not wrong:
        raise usage(
            f"{', '.join(map(str, files))}: no line describes a meter", "a line a meter follows the names of columns"
        )
    rows = [row for _, row in read]
    refused = {
        place: f"key-shared: meter {rows[place].meter.id} names the key reference {rows[place].meter.key_ref!r}, which is "
        f"meter {holder}'s; give each meter a reference and keys of its own"
        for place, holder in shared(rows, _owners(given, rows, reads_registry=not dry_run)).items()
    }
    store = _held_keys(given)
    refused = changing(rows, store) | refused
    for place, before in twice(rows).items():
        refused[place] = f"meter {rows[place].meter.id} is in {read[before][0]}, line {rows[before].line}, with other values"
    for place, why in sorted(refused.items()):
        file, row = read[place]
        say(f"[yellow]{file}, line {row.line}[/]: {why}")
    wrong += len(refused)
    rows = [row for place, row in enumerate(rows) if place not in refused]
    if dry_run:
        kept = [] if replace_keys else keeping(rows, store)
        _tell(kept)
    else:
        kept = _import_beside(given, rows, replace_keys=replace_keys) if rows else []
    counts = {"imported": 0 if dry_run else len(rows), "checked": len(rows), "wrong": wrong, "keys_kept": len(kept)}
    emit([counts], format)
    if wrong:
        raise typer.Exit(DONE_WITH_FAILURES)


def _owners(given: Settings, rows: list[Any], *, reads_registry: bool) -> Callable[[str], str]:
    """Whose a key reference is: as the key store has it, and the registry where a row names another than its id."""
    from connectors.cli.keystore import known_owners

    owner = known_owners(given)
    if not reads_registry or all(row.meter.key_ref == row.meter.id for row in rows):
        return owner
    registered = {meter.key_ref: meter.id for meter in registry(given).values() if meter.state is not MeterState.EXCHANGED}
    return lambda ref: owner(ref) or registered.get(ref, "")


def _held_keys(given: Settings) -> FileKeyStore | None:
    """The key store as a file, where there is one: only there keys are changed."""
    from connectors.gateway.errors import KeyStoreError
    from connectors.gateway.keystore import FileKeyStore, open_key_store

    if not Path(given.gateway.key_file or ".").is_file():
        return None
    try:
        store = open_key_store(given.gateway)
    except KeyStoreError as error:
        raise CommandError(str(error)) from error
    return store if isinstance(store, FileKeyStore) else None


def _import_beside(given: Settings, rows: list[Row], *, replace_keys: bool) -> list[Kept]:
    """Import rows beside what meters told of themselves: before, and, where one tells it meanwhile, once more after. The
    keys that it left.
    """
    from connectors.cli.registering import merged_all

    ids = {row.meter.id for row in rows}
    known, positions = known_of(given, ids)
    kept = import_rows(given, rows, known, replace_keys=replace_keys)
    written = {row.meter.id: row for row in rows}
    meanwhile, _ = known_of(given, ids, positions)
    late = {name: meter for name, meter in meanwhile.items() if meter.firmware_at > _told_at(known.get(name))}
    if late:
        now = SystemClock().now_ms()
        send_meters(given, merged_all([written[name] for name in late], late, now, lambda _: None))
    return kept


def _told_at(meter: Meter | None) -> int:
    return 0 if meter is None else meter.firmware_at


def import_rows(
    given: Settings, rows: list[Any], known: Mapping[str, Meter] | None = None, *, replace_keys: bool = False
) -> list[Kept]:
    """Keys to the key store first, so that no meter is known whose keys are not; then meters to the topic, beside what is
    `known` of them. The keys that were left as they are.
    """
    from connectors.cli.keystore import key_store
    from connectors.cli.registering import kept_keys, merged_all
    from connectors.gateway.errors import KeyStoreError

    keys = {row.meter.key_ref: row.keys for row in rows if row.keys is not None}
    left: Mapping[str, Sequence[str]] = {}
    if keys:
        try:
            left = key_store(given).put_many(keys, over_made=replace_keys)
        except KeyStoreError as error:
            raise CommandError(str(error)) from error
    kept: list[Kept] = []
    send_meters(given, merged_all(rows, known or {}, SystemClock().now_ms(), kept.append))
    _tell(kept)
    stayed = kept_keys(rows, left)
    _tell(stayed)
    return stayed


def _tell(kept: Sequence[Kept]) -> None:
    for item in kept[:_SHOWN]:
        say(f"[yellow]note[/]: {item.meter_id}: {item.detail}")
    if len(kept) > _SHOWN:
        say(f"[yellow]note[/]: and so {len(kept) - _SHOWN} more")


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
        empty=f"none of the {len(found):,} meters is so" if found else "no meters yet; `hes meters import FILE` brings them",
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


def known_of(
    given: Settings, ids: Set[str], start: Mapping[int, int] | None = None
) -> tuple[dict[str, Meter], dict[int, int]]:
    """What hes.meters says of these meters, and up to where that was read, by partition; from a start, of each the record in
    which it told something of itself last.
    """
    found: dict[bytes, Message] = {}
    ends: dict[int, int] = {}
    for message in read_topic(given, TOPIC, Span(offsets=start or {})):
        ends[message.partition() or 0] = (message.offset() or 0) + 1
        key = message.key() or b""
        if key.decode("utf-8", "replace") in ids and (start is None or _by_gateway(message)):
            found[key] = message
    latest = iter([message for message in found.values() if message.value() is not None])
    return {record.id: record for _, record in decoded(given, latest) if isinstance(record, Meter)}, ends


def _by_gateway(message: Message) -> bool:
    return header(message.headers(), "ce_source") == "gateway"


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
    tell_unread(TOPIC, unread)
    return known


def register(app: typer.Typer) -> None:
    """Put the group on the tree."""
    meters.add_typer(meter_keys.keys, name="keys")
    app.add_typer(meters, name="meters")
