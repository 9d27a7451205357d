"""`hes decode`: telegrams to values, needing no broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.cli.failure import DONE_WITH_FAILURES, CommandError, usage
from connectors.cli.output import Format, cell, chosen, dumps, emit, say
from connectors.cli.telegrams import Capture, read


class Protocol(StrEnum):
    """Whose telegrams they are."""

    AUTO = "auto"
    DLMS = "dlms"
    C1218 = "c1218"
    C1222 = "c1222"


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
    keys: Annotated[
        Path | None,
        typer.Option(
            help="a file of keys (JSON). DLMS, by system title: "
            '{"4C475A677370B177": {"ek": "HEX", "ak": "HEX"}}; C12.22, by application title and key id: '
            '{"1.3.6.1.4.1.33507.1": {"eax": {"0": "HEX"}}}, "*" is any node; lines of a shipment do as well',
            dir_okay=False,
        ),
    ] = None,
    template: Annotated[
        str, typer.Option(help="meter template, where the layout is not recognised by itself, or tables are the maker's")
    ] = "",
    protocol: Annotated[Protocol, typer.Option(help="auto: by what the octets are, and by port 1153")] = Protocol.AUTO,
    secrets: Annotated[bool, typer.Option("--secrets", help="C12: show passwords, which else are asterisks")] = False,
    format: Annotated[  # noqa: A002 - the option's name
        DecodeFormat | None,
        typer.Option("--format", "-f", help="json: one telegram a line; default: table (C12: a tree) on a terminal"),
    ] = None,
) -> None:
    """Decode telegrams of meters: hex, binary, or a packet capture.

    DLMS/COSEM: HDLC, wrapper, wired M-Bus or bare; plain or ciphered; whole or in blocks. ANSI C12.18 and C12.22: packets
    and messages down to the fields of tables, clear, authenticated or ciphered, in segments or whole. One that cannot be
    read prints its error code, the others go on, and the exit code is 1.
    """
    from connectors.cli.keys import lookup

    dlms = _Dlms(lookup(ek, ak, keys), _template(template), format)
    c12 = _C12(keys, template, format, protocol, secrets=secrets)
    failed = count = 0
    codes: set[str] = set()
    for file in files:
        try:
            for found, named in _telegrams(file, dlms, c12, several=len(files) > 1):
                count += 1
                if code := found(named):
                    failed += 1
                    codes.add(code)
        except CommandError as error:
            if len(files) == 1:
                raise
            failed += 1
            say(f"[red]error[/]: {error}")
    if "key-missing" in codes:
        say("for a missing key try: --ek HEX --ak HEX, or --keys FILE with keys by system title")
    if "c1222-key-missing" in codes:
        say("for a missing key try: --keys FILE with keys by application title and key id, see --help")
    if not template:
        dlms.hint()
    if not count and not failed:
        raise CommandError("no telegram in what was given", mend="check that it is a whole telegram, from its first octet")
    if failed:
        raise typer.Exit(DONE_WITH_FAILURES)


Print = Callable[[dict[str, Any]], str]
"""Prints one telegram behind what names it; the code of what is wrong with it, or ""."""


def _telegrams(file: str, dlms: _Dlms, c12: _C12, *, several: bool) -> Iterator[tuple[Print, dict[str, Any]]]:
    """What a file holds; of C12 once all of the file was read. Raises CommandError behind what came before the damage."""
    damage = None
    try:
        for capture in read(file):
            named = {"file": capture.name} if several or capture.endpoint else {}
            if c12.takes(capture):
                continue
            for found in dlms.prints(capture):
                yield found, named
    except CommandError as error:
        damage = error
    for found, capture in c12.prints():
        yield found, {"file": capture.name} if several or capture.endpoint else {}
    if damage is not None:
        raise damage


class _Dlms:
    """Telegrams of DLMS."""

    def __init__(self, find: Any, layout: Any, format: DecodeFormat | None) -> None:  # noqa: A002 - the option's name
        from connectors.cli.template_hints import Hints

        self._find, self._layout, self._format = find, layout, format
        self._hints = Hints()

    def prints(self, capture: Capture) -> Iterator[Print]:
        """Each telegram, to be printed."""
        from connectors.protocols.dlms.decode import decode_stream

        for telegram in decode_stream(capture.data, self._find, self._layout):
            self._hints.see(telegram)
            yield partial(_printed, telegram, format=self._format)

    def hint(self) -> None:
        """Say which templates know what the telegrams left out."""
        from connectors.templates.loader import load_templates

        def templates() -> dict[str, Any]:
            return {name: template.push for name, template in load_templates().items()}

        person = (
            self._format is not DecodeFormat.XML
            and chosen(Format(self._format) if self._format else None) is not Format.JSON
        )
        for line in self._hints.lines(templates, units=person):
            say(line)


class _C12:
    """Messages of C12, kept until all that belong together are there."""

    def __init__(
        self,
        keys: Path | None,
        template: str,
        format: DecodeFormat | None,  # noqa: A002 - the option's name
        protocol: Protocol,
        *,
        secrets: bool,
    ) -> None:
        self._keys, self._template, self._format, self._protocol = keys, template, format, protocol
        self._secrets = secrets
        self._captures: Any = None

    def takes(self, capture: Capture) -> bool:
        """Whether a capture is of C12; it is kept then."""
        from connectors.cli.c12_telegrams import C12Captures, Family, family_of

        family = family_of(capture) if self._protocol is Protocol.AUTO else Family[self._protocol.name]
        if family is Family.DLMS:
            return False
        if self._captures is None:
            self._captures = C12Captures(self._looks())
        self._captures.add(capture, family)
        return True

    def prints(self) -> Iterator[tuple[Print, Capture]]:
        """Each message, to be printed."""
        for shown in () if self._captures is None else self._captures.take():
            yield partial(_printed_c12, shown, format=self._format), shown.capture

    def _looks(self) -> Any:
        from connectors.cli.c12_telegrams import Looks
        from connectors.cli.keys import eax_lookup
        from connectors.templates.c12_loader import load_c12_templates

        templates = load_c12_templates()
        template = templates.get(self._template or "generic", templates["generic"])
        return Looks(eax_lookup(self._keys, template.messages.base), template, self._secrets)


def _template(name: str) -> Any:
    if not name:
        return None
    from connectors.templates.c12_loader import load_c12_templates
    from connectors.templates.loader import load_templates

    templates, others = load_templates(), load_c12_templates()
    if name not in templates and name not in others:
        raise usage(f"there is no template {name!r}", "there are " + ", ".join(sorted({*templates, *others})))
    return templates[name].push if name in templates else None


def _printed_c12(shown: Any, row: dict[str, Any], format: DecodeFormat | None) -> str:  # noqa: A002 - the option's name
    """Print a message of C12, with what could not be read of it; the code of that, or ""."""
    if format is DecodeFormat.XML:
        print(dumps(row | {"error": {"code": "xml-unsupported", "detail": "XML is DLMS's; give --format json"}}), flush=True)
        return "xml-unsupported"
    errors = shown.errors
    if chosen(Format(format) if format else None) is Format.JSON:
        print(dumps(row | shown.to_json()), flush=True)
    else:
        if row:
            print("  ".join(f"{name} {cell(value)}" for name, value in row.items()))
        for line in shown.lines():
            print(cell(line))
        print(flush=True)
    return errors[0][0] if errors else ""


def _printed(telegram: Any, row: dict[str, Any], format: DecodeFormat | None) -> str:  # noqa: A002 - the option's name
    """Print a telegram, or what is wrong with it; the code of that, or ""."""
    from connectors.protocols.dlms.telegram import TelegramError, to_json

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
    row = row | to_json(telegram)  # not into the row that the next telegram of the capture gets
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
        from gurux_dlms import GXDLMSTranslator
    except ModuleNotFoundError as error:
        raise CommandError("--format xml needs gurux-dlms", mend="install hes with the extra `gurux`") from error
    try:
        return str(GXDLMSTranslator().pduToXml(plain)).rstrip()
    except Exception as error:
        raise _NoXmlError(f"gurux-dlms does not read this one ({error}); --format json shows what we read") from error


def register(app: typer.Typer) -> None:
    """Put the command on the tree."""
    app.command()(decode)
