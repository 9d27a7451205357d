"""`hes meters keys`: the key store by itself: another master key, the head-end's own keys, changes of keys under way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connectors.cli import context
from connectors.cli.failure import CommandError, usage
from connectors.cli.output import FormatOption, emit

if TYPE_CHECKING:  # what a command needs is imported when it runs
    from connectors.gateway.keystore import FileKeyStore

keys = typer.Typer(help="The key store: its master key, our own keys, changes of keys.", no_args_is_help=True)
_PEM = {"signing": "--signing-key", "agreement": "--agreement-key", "certificate": "--certificate"}


@keys.command()
def rekey(
    to: Annotated[Path, typer.Option("--to", dir_okay=False, help="the new master key's file; made where it is absent")],
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Encrypt the key store under a new master key.

    The new file is read back, entry by entry, before it takes the old one's place. Gateways go on with what they have, and
    need the new master key when they read the file anew.
    """
    from connectors.gateway.keystore import create_master_key, read_master_key  # noqa: PLC0415

    store = _store()
    with _told():
        count = store.rekey(read_master_key(to) if to.exists() else create_master_key(to))
    emit([{"entries": count, "next": f"set HES_GATEWAY__MASTER_KEY_FILE to {to}, restart the gateways, destroy the old"}],
         format)  # fmt: skip


@keys.command()
def own(
    signing_key: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="ours for signatures, PEM")] = None,
    agreement_key: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="ours for key agreement, PEM")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="ours for signatures, to be sent along, PEM")
    ] = None,
) -> None:
    """Keep the head-end's own keys, for every meter that has no others for us: suites 1 and 2."""
    from connectors.protocols.dlms.meter_keys import READERS, MeterKeys  # noqa: PLC0415

    files = {"signing": signing_key, "agreement": agreement_key, "certificate": certificate}
    found: dict[str, Any] = {}
    for name, file in files.items():
        if file is not None:
            try:
                found[name] = READERS[name](file.read_text(encoding="ascii"))
            except (OSError, UnicodeDecodeError) as error:
                raise usage(f"cannot read {file}: {type(error).__name__}") from error
            except ValueError as error:
                raise usage(f"{_PEM[name]} {file}: the file {error}") from None
    if not found:
        raise usage("nothing is given to keep", "give --signing-key, --agreement-key or --certificate")
    store = _store()
    with _told():
        store.put_many({context.settings().gateway.system_title.upper(): MeterKeys(**found)})


@keys.command()
def changes(format: FormatOption = None) -> None:  # noqa: A002 - the option's name
    """List meters whose keys are being changed, and where that stands."""
    with _told():
        rows = [{"key_ref": ref, "state": state.value} for ref, state in _store().changes().items()]
    emit(rows, format, empty="no change of keys is under way")


@keys.command()
def promote(key_ref: Annotated[str, typer.Argument(help="the meter's key reference")]) -> None:
    """Take the new keys of a meter for its keys: somebody knows that it has them."""
    with _told():
        _store().promote(key_ref)


@keys.command()
def drop(key_ref: Annotated[str, typer.Argument(help="the meter's key reference")]) -> None:
    """Forget the new keys of a meter: somebody knows that it does not have them."""
    with _told():
        _store().drop(key_ref)


def _store() -> FileKeyStore:
    from connectors.cli.keystore import key_store  # noqa: PLC0415 - cryptography takes its time to load

    return key_store(context.settings())


@contextmanager
def _told() -> Iterator[None]:
    """What the key store refuses ends the command."""
    from connectors.gateway.errors import KeyStoreError  # noqa: PLC0415 - as above

    try:
        yield
    except KeyStoreError as error:
        raise CommandError(str(error)) from error
