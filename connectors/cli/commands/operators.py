"""`hes operators`: who may ask and decide, on hes.operators, and the keys by which they sign."""

from __future__ import annotations

import os
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from connectors.cli import context
from connectors.cli.failure import CommandError, usage
from connectors.cli.output import Format, FormatOption, dumps, emit, say

if TYPE_CHECKING:  # what a command needs is imported when it runs
    from connectors.cli.signing import Person
    from schemas.codec import Codec
    from schemas.records import Operator
    from streams.runtime.authority.policy import Policy
    from streams.runtime.settings import Settings

operators = typer.Typer(help="Operators: who may ask and decide, and their keys.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="the operator's name")]
RootKey = Annotated[
    Path | None,
    typer.Option("--root-key", envvar="HES_ROOT_KEY", help="the root key, PEM; default: this machine's", dir_okay=False),
]
Passphrase = Annotated[bool, typer.Option("--passphrase", help="protect the key by a passphrase")]
_DAY_MS = 86_400_000


@operators.command()
def keygen(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="whose; `root` makes operators")] = "root",
    passphrase: Passphrase = False,
) -> None:
    """Make a private key on this machine, and print its public key. It is never written over."""
    from connectors.cli.operator_keys import ROOT, key_place, new_key
    from connectors.cli.signing import keys_folder

    pem, public = new_key(_passphrase() if passphrase else "")
    where = key_place(keys_folder()).write(name, pem)
    if name == ROOT:
        file = context.root_key_file(context.home())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(public.hex() + "\n")
        say("it is pinned for the local stack; elsewhere set HES_COMMANDS__ROOT_KEY to it, for commands and gateways")
    print(dumps({"name": name, "public_key": public.hex(), "kept_in": where}))


@operators.command()
def new(
    name: Name,
    role: Annotated[list[str], typer.Option("--role", help="what the policy knows, such as meter-operator; several times")],
    full_name: Annotated[str, typer.Option("--name", help="the person's name")] = "",
    public_key: Annotated[str, typer.Option(help="hex or file, where the operator has a key; else one is made here")] = "",
    days: Annotated[int, typer.Option(min=1, max=3_650, help="how long the key is valid")] = 365,
    root_key: RootKey = None,
    passphrase: Passphrase = False,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Make somebody an operator, or renew: signed by the root key. Who has a key keeps it, unless another is given."""
    from connectors.cli.operator_keys import key_place, new_key, public_key_of
    from connectors.cli.signing import around, keys_folder, now_ms, root
    from connectors.cli.watching import encoded
    from schemas.records import Operator

    given = context.settings()
    signer, codec = root(root_key), encoded(given)
    world = around(given, codec)
    unknown = sorted(set(role) - _roles(world.policy))
    if unknown:
        say(f"[yellow]note[/]: the policy gives no right to {', '.join(unknown)}")
    known = world.operators.get(name)
    if public_key:
        key = public_key_of(public_key)
    elif known is not None:
        key = known.public_key
    else:
        pem, key = new_key(_passphrase() if passphrase else "")
        say(f"private key: {key_place(keys_folder()).write(name, pem)}")
    now = now_ms()
    record = Operator(
        id=name,
        name=full_name or (known.name if known else ""),
        roles=tuple(dict.fromkeys(role)),
        public_key=key,
        valid_from=now,
        valid_to=now + days * _DAY_MS,
        version=(known.version if known else 0) + 1,
    )
    _send(given, codec, record, signer, format)


@operators.command()
def revoke(
    name: Name,
    root_key: RootKey = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Revoke an operator's key: at once, and for whatever it has signed and is not done yet."""
    from dataclasses import replace

    from connectors.cli.signing import around, root
    from connectors.cli.watching import encoded

    given = context.settings()
    signer, codec = root(root_key), encoded(given)
    known = around(given, codec).operators.get(name)
    if known is None:
        raise CommandError(f"there is no operator {name}", mend="`hes operators list` shows who there is")
    _send(given, codec, replace(known, revoked=True, version=known.version + 1), signer, format)


@operators.command("list")
def list_(format: FormatOption = None) -> None:  # noqa: A002 - the option's name
    """List the operators that the pinned root key made, and whether their keys are good now."""
    from connectors.cli.signing import around, now_ms
    from connectors.cli.watching import encoded
    from streams.runtime.clock import iso

    given = context.settings()
    if not given.commands.root_key:
        raise usage(
            "no root key is pinned, so nobody is an operator", "`hes operators keygen`, or set HES_COMMANDS__ROOT_KEY"
        )
    now = now_ms()
    rows = [
        {
            "operator": each.id,
            "name": each.name,
            "roles": ", ".join(each.roles),
            "good": not each.revoked and each.valid_from <= now and (each.valid_to is None or now < each.valid_to),
            "revoked": each.revoked,
            "valid_to": iso(each.valid_to) if each.valid_to else "",
            "public_key": each.public_key.hex(),
        }
        for each in sorted(around(given, encoded(given)).operators.all(), key=lambda each: each.id)
    ]
    emit(rows, format, empty="nobody is an operator yet; `hes operators new NAME --role meter-operator` makes one")


@operators.command()
def policy(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="default: the one that the settings name")] = "",
    show: Annotated[
        bool, typer.Option("--show", help="print the strict policy that ships, to be copied and changed")
    ] = False,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Check a policy: which kinds of command need whom."""
    from importlib.resources import files

    from streams.runtime.authority.policy_file import PolicyError, load_policy

    if show:
        print(files("streams.runtime.authority").joinpath("strict.yaml").read_text(encoding="utf-8"), end="")
        return
    try:
        found = load_policy(file or context.settings().commands.policy_file)
    except PolicyError as error:
        raise CommandError(
            f"the policy is not right\n{error}", mend="correct it; `hes operators policy --show` shows one"
        ) from error
    emit(
        [
            {
                "kind": name,
                "signed": kind.signed,
                "requested_by": ", ".join(kind.requested_by),
                "decisions": kind.decisions,
                "decided_by": ", ".join(kind.decided_by),
                "meters": kind.meters,
            }
            for name, kind in found.kinds.items()
        ],
        format,
    )


def _send(
    given: Settings,
    codec: Codec,
    record: Operator,
    signer: Person,
    format: Format | None,  # noqa: A002 - the option's name
) -> None:
    from connectors.cli.signing import NOT_ANSWERED, accepted, seal, send_and_hear

    value = seal(codec, record, given, signer)
    heard = accepted(send_and_hear(given, codec, "hes.operators", record.id, record, value))
    if not heard:
        say(f"[yellow]note[/]: it is written; {NOT_ANSWERED}")
    emit(
        [
            {
                "operator": record.id,
                "roles": list(record.roles),
                "version": record.version,
                "revoked": record.revoked,
                "heard": heard,
            }
        ],
        format,
    )


def _passphrase() -> str:
    from connectors.cli.operator_keys import PASSPHRASE

    if found := os.environ.get(PASSPHRASE):
        return found
    first, again = getpass("new passphrase: "), getpass("again: ")
    if not first or first != again:
        raise usage("the two passphrases differ, or are empty", "type the same one twice")
    return first


def _roles(policy: Policy) -> set[str]:
    kinds = policy.kinds.values()
    named = {role for kind in kinds for role in (*kind.requested_by, *kind.decided_by)}
    return named | {role for roles in policy.controls.values() for role in roles}


def register(app: typer.Typer) -> None:
    """Put the group on the tree."""
    app.add_typer(operators, name="operators")
