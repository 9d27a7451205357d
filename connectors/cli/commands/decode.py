"""`hes decode`: telegrams to values, needing no broker."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.cli.failure import DONE_WITH_FAILURES, CommandError, usage
from connectors.cli.output import Format, cell, chosen, dumps, emit, say
from connectors.cli.telegrams import read


class DecodeFormat(StrEnum):
    """How telegrams are printed."""

    JSON = "json"
    TABLE = "table"
    TEXT = "text"
    XML = "xml"


def decode(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="hex, binary or pcap; - is standard input")],
    ek: Annotated[str, typer.Option(help="encryption key (GUEK), hex", envvar="HES_EK")] = "",
    ak: Annotated[str, typer.Option(help="authentication key (GAK), hex", envvar="HES_AK")] = "",
    keys: Annotated[Path | None, typer.Option(help="a file of keys by system title (JSON)", dir_okay=False)] = None,
    template: Annotated[str, typer.Option(help="meter template, where the layout is not recognised by itself")] = "",
    format: Annotated[  # noqa: A002 - the option's name
        DecodeFormat | None, typer.Option("--format", "-f", help="json: one telegram a line; default: table on a terminal")
    ] = None,
) -> None:
    """Decode telegrams of DLMS/COSEM meters: HDLC, wrapper, wired M-Bus or bare; plain or ciphered; whole or in blocks.

    One that cannot be read prints its error code, the others go on, and the exit code is 1.
    """
    from connectors.cli.keys import lookup  # noqa: PLC0415 - cryptography takes its time to load
    from connectors.protocols.dlms.decode import decode_stream  # noqa: PLC0415

    find = lookup(ek, ak, keys)
    layout = _template(template)
    failed = count = 0
    codes: set[str] = set()
    for file in files:
        try:
            for capture in read(file):
                for telegram in decode_stream(capture.data, find, layout):
                    count += 1
                    named = {"file": capture.name} if len(files) > 1 or capture.endpoint else {}
                    if code := _printed(telegram, named, format):
                        failed += 1
                        codes.add(code)
        except CommandError as error:
            if len(files) == 1:
                raise
            failed += 1
            say(f"[red]error[/]: {error}")
    if "key-missing" in codes:
        say("for a missing key try: --ek HEX --ak HEX, or --keys FILE with keys by system title")
    if not count and not failed:
        raise CommandError("no telegram in what was given", mend="check that it is a whole telegram, from its first octet")
    if failed:
        raise typer.Exit(DONE_WITH_FAILURES)


def _template(name: str) -> Any:
    if not name:
        return None
    from connectors.templates.loader import load_templates  # noqa: PLC0415

    templates = load_templates()
    if name not in templates:
        raise usage(f"there is no template {name!r}", "there are " + ", ".join(sorted(templates)))
    return templates[name].push


def _printed(telegram: Any, row: dict[str, Any], format: DecodeFormat | None) -> str:  # noqa: A002 - the option's name
    """Print a telegram, or what is wrong with it; the code of that, or ""."""
    from connectors.protocols.dlms.telegram import TelegramError, to_json  # noqa: PLC0415

    if isinstance(telegram, TelegramError):
        print(dumps(row | telegram.to_json()), flush=True)
        return telegram.code
    if format is DecodeFormat.XML:
        try:
            print(_xml(telegram.plain), flush=True)
        except _NoXmlError as error:
            print(dumps(row | {"error": {"code": "xml-unsupported", "detail": str(error)}}), flush=True)
            return "xml-unsupported"
        return ""
    row |= to_json(telegram)
    if chosen(Format(format) if format else None) is Format.JSON:
        print(dumps(row), flush=True)
        return ""
    values = row.pop("values")
    print("  ".join(f"{name} {cell(value)}" for name, value in row.items() if value is not None))
    emit(list(_lines(values)), Format(format) if format else None, empty="(no values)")
    print()
    return ""


def _lines(values: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for value in values:
        yield {name: value.get(name) for name in ("obis", "value", "unit", "raw", "scaler")}


class _NoXmlError(Exception):
    """The peer does not read what we read."""


def _xml(plain: bytes) -> str:
    """The standard's XML of a deciphered APDU, as gurux-dlms writes it: a second opinion on what we read."""
    try:
        from gurux_dlms import GXDLMSTranslator  # noqa: PLC0415 - GPL, an extra, and never in the gateway's image
    except ModuleNotFoundError as error:
        raise CommandError("--format xml needs gurux-dlms", mend="install hes with the extra `gurux`") from error
    try:
        return str(GXDLMSTranslator().pduToXml(plain)).rstrip()
    except Exception as error:
        raise _NoXmlError(f"gurux-dlms does not read this one ({error}); --format json shows what we read") from error


def register(app: typer.Typer) -> None:
    """Put the command on the tree."""
    app.command()(decode)
