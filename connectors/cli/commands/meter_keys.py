"""`hes meters keys`: new keys for meters, and changes under way; the key store's master key, the head-end's own keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from connectors.cli import context
from connectors.cli.commands.commands import Feeder, Group, Ids, Reason, Segment, Timeout, Transformer, Wait, ask_for
from connectors.cli.failure import CommandError, usage
from connectors.cli.options import AsOption, KeyOption
from connectors.cli.output import FormatOption, emit, say
from schemas.records import Operation

if TYPE_CHECKING:  # what a command needs is imported when it runs
    from connectors.gateway.keystore import FileKeyStore

keys = typer.Typer(help="The key store: its master key, our own keys, changes of keys.", no_args_is_help=True)
_ROTATED = ("ek", "ak", "kek")
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
    from connectors.gateway.keystore import create_master_key, read_master_key

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
    from connectors.protocols.dlms.meter_keys import READERS, MeterKeys

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
def rotate(
    reason: Reason,
    ids: Ids = None,
    which: Annotated[
        str, typer.Option("--keys", metavar="NAMES", help="ek, ak or both by a comma, or kek; else what the template uses")
    ] = "",
    group: Group = None,
    segment: Segment = None,
    transformer: Transformer = None,
    feeder: Feeder = None,
    operator: AsOption = "",
    key: KeyOption = None,
    wait: Wait = False,
    timeout: Timeout = 120,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Ask for new keys for meters. A supervisor must approve it; the gateway makes them, and nobody sees them.

    Each meter gets its own. The old keys are kept until an association with the new ones has stood.
    """
    names = which.replace(",", " ").split()
    if wrong := [name for name in names if name not in _ROTATED]:
        raise usage(f"--keys {', '.join(wrong)}: no key of that name is changed", f"give some of {', '.join(_ROTATED)}")
    if "kek" in names and len(names) > 1:
        raise usage("the master key (kek) is changed by a command of its own", "ask for the other keys first, then for kek")
    who = (ids, group, segment, transformer, feeder)
    parameters = {"keys": ",".join(names)} if names else {}
    ask_for(Operation.ROTATE_KEY, who, reason, operator, key, wait, timeout, format, parameters)


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
    say(f"{key_ref}: the new keys are its keys now")


@keys.command()
def drop(key_ref: Annotated[str, typer.Argument(help="the meter's key reference")]) -> None:
    """Forget the new keys of a meter: somebody knows that it does not have them."""
    with _told():
        store = _store()
        if key_ref not in store.changes():
            raise CommandError(
                f"no change of the keys under {key_ref!r} is under way",
                mend="`hes meters keys changes` shows those that are",
            )
        store.drop(key_ref)
    say(f"{key_ref}: the new keys are forgotten")


def _store() -> FileKeyStore:
    from connectors.cli.keystore import key_store

    return key_store(context.settings())


@contextmanager
def _told() -> Iterator[None]:
    """What the key store refuses ends the command."""
    from connectors.gateway.errors import KeyStoreError

    try:
        yield
    except KeyStoreError as error:
        raise CommandError(str(error)) from error
