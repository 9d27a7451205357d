"""`hes probe`: one direct session with a meter, needing no broker."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, tzinfo
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from connectors.cli.failure import DONE_WITH_FAILURES, usage
from connectors.cli.output import FormatOption, stderr
from connectors.cli.probe.choices import Auth, Ciphering, MessageKey, Security

if TYPE_CHECKING:  # what a command needs is imported when it runs
    from connectors.protocols.dlms.get import Attribute
    from connectors.protocols.dlms.template import Template

_DAY_MS = 86_400_000
_SECRET = (15, 7)
"""Class and attribute of an association's secret."""


def probe(
    meter: Annotated[str, typer.Argument(metavar="dlms://HOST[:PORT]", help="also udp://, HOST:PORT, [IPv6]:PORT")],
    client: Annotated[int | None, typer.Option(min=0, max=0xFFFF, help="client address; default: the template's")] = None,
    server: Annotated[int | None, typer.Option(min=0, max=0xFFFF, help="logical device; 1 is the management device")] = None,
    auth: Annotated[
        Auth | None, typer.Option(help="default: the template's; else a password means low, keys hls-gmac")
    ] = None,
    password: Annotated[
        str, typer.Option(envvar="HES_PASSWORD", show_default=False, help="better in HES_PASSWORD, or typed when asked for")
    ] = "",
    ek: Annotated[str, typer.Option(envvar="HES_EK", show_default=False, help="encryption key (GUEK), hex")] = "",
    ak: Annotated[str, typer.Option(envvar="HES_AK", show_default=False, help="authentication key (GAK), hex")] = "",
    kek: Annotated[str, typer.Option(envvar="HES_KEK", show_default=False, help="master key (KEK), hex")] = "",
    security: Annotated[Security | None, typer.Option(help="default: the template's; else with keys both")] = None,
    suite: Annotated[int | None, typer.Option(min=0, max=2, help="security suite; default: the template's")] = None,
    dedicated: Annotated[bool, typer.Option("--dedicated", help="a key of its own for the association")] = False,
    ciphering: Annotated[
        Ciphering | None, typer.Option(help="the APDU around a protected one; default: the template's")
    ] = None,
    message_key: Annotated[
        MessageKey | None, typer.Option(help="general-ciphering: its key; default: the template's, mostly identified")
    ] = None,
    signed: Annotated[bool, typer.Option("--signed", help="sign requests, too, and want answers signed")] = False,
    short_names: Annotated[
        bool | None, typer.Option("--short-names/--logical-names", help="referencing; default: the template's")
    ] = None,
    gbt: Annotated[
        int | None, typer.Option(min=0, max=63, help="general block transfer: blocks at a time; 0: not proposed")
    ] = None,
    challenge: Annotated[
        int | None, typer.Option(min=8, max=64, help="octets of our challenge; default 16, ECDSA 32")
    ] = None,
    system_title: Annotated[
        str, typer.Option(help="the client's, 16 hex digits; default: one made up for this session")
    ] = "",
    signing_key: Annotated[Path | None, typer.Option(help="hls-ecdsa: our private key, PEM", dir_okay=False)] = None,
    meter_certificate: Annotated[
        Path | None, typer.Option(help="hls-ecdsa: the meter's certificate or public key, PEM", dir_okay=False)
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="hls-ecdsa: ours, to be sent along, PEM", dir_okay=False)] = None,
    agreement_key: Annotated[Path | None, typer.Option(help="key agreement: our private key, PEM", dir_okay=False)] = None,
    meter_agreement_certificate: Annotated[
        Path | None, typer.Option(help="key agreement: the meter's certificate or public key, PEM", dir_okay=False)
    ] = None,
    counter: Annotated[
        int | None,
        typer.Option(
            min=0, max=0xFFFFFFFF, help="our first invocation counter; default: above what the public client reads"
        ),
    ] = None,
    counter_obis: Annotated[str, typer.Option(help="where the public client reads it; default 0.0.43.1.e")] = "",
    public_client: Annotated[int | None, typer.Option(min=0, max=0xFFFF, help="default: the template's, mostly 16")] = None,
    hdlc: Annotated[bool | None, typer.Option("--hdlc/--wrapper", help="framing; default: the template's")] = None,
    physical: Annotated[int | None, typer.Option(min=0, max=0x3FFF, help="HDLC: lower address of the meter")] = None,
    address_octets: Annotated[
        int, typer.Option(help="HDLC: octets of the meter's address, 1, 2 or 4; 0: as few as fit")
    ] = 0,
    template: Annotated[str, typer.Option(help="meter template")] = "generic",
    get: Annotated[
        list[str] | None, typer.Option("--get", metavar="CLASS/OBIS/ATTRIBUTE", help="read it; may be repeated")
    ] = None,
    profile: Annotated[str, typer.Option(metavar="OBIS", help="read a load profile; default: its last day")] = "",
    event_log: Annotated[str, typer.Option(metavar="OBIS", help="read an event log; default: all of it")] = "",
    start: Annotated[str, typer.Option("--from", help="rows at or after this time (ISO 8601)")] = "",
    end: Annotated[str, typer.Option("--to", help="rows at or before this time (ISO 8601); default: now")] = "",
    objects: Annotated[bool, typer.Option("--objects", help="list what the meter has")] = False,
    relay: Annotated[bool, typer.Option("--relay", help="read the state of the relay; it is not moved")] = False,
    zone: Annotated[
        str, typer.Option(help="the meter's time zone, for times without a deviation; default: the template's")
    ] = "",
    timeout: Annotated[float, typer.Option(min=0.1, max=600, help="seconds to wait for an answer")] = 10,
    trace: Annotated[bool, typer.Option("--trace", help="frames as hex to stderr; passwords are 2A")] = False,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Speak to one meter directly. Without further options it is identified: clock, names, firmware, what we may do.

    Nothing is written to the meter. Each step that fails says what was tried, what the meter answered and what to try next.
    """
    from connectors.cli.probe.access import WITH_SECRET, Addresses, Asked, Secrets, access
    from connectors.cli.probe.address import parse
    from connectors.cli.probe.readings import Reader
    from connectors.cli.probe.report import Report
    from connectors.cli.probe.visit import Plan, Visit

    target = parse(meter)
    of_type = _template(template)
    pull = of_type.pull
    clock = _zone(zone or of_type.push.time_zone or "")
    asked = [_attribute(text) for text in get or ()]
    logs = {"--profile": profile, "--event-log": event_log, "--counter-obis": counter_obis}
    names = {option: _obis(option, text) for option, text in logs.items()}
    until = _time("--to", end, clock) if end else round(time.time() * 1000)
    since = _time("--from", start, clock) if start else None
    if since is not None and since > until:
        raise usage("--from is after --to", "exchange them")
    if address_octets not in (0, 1, 2, 4):
        raise usage(f"an HDLC address has no {address_octets} octets", "1, 2 or 4, or 0 for as few as fit")
    if (auth or Auth(pull.auth)) in WITH_SECRET and not password and sys.stdin.isatty():
        password = getpass()
    plan = Plan(
        target=target,
        addresses=Addresses(
            client=pull.client if client is None else client,
            server=pull.server if server is None else server,
            public_client=pull.public_client if public_client is None else public_client,
            hdlc=pull.transport == "HDLC" if hdlc is None else hdlc,
            physical=physical,
            octets=address_octets,
        ),
        access=access(
            pull,
            Secrets(
                password,
                ek,
                ak,
                kek,
                signing=signing_key,
                meter_signing=meter_certificate,
                agreement=agreement_key,
                meter_agreement=meter_agreement_certificate,
                certificate=certificate,
            ),
            Asked(
                auth=auth,
                security=security,
                suite=suite,
                dedicated=dedicated,
                ciphering=ciphering,
                key=message_key,
                signed=signed,
                short_names=short_names,
                gbt=gbt,
                challenge=challenge,
            ),
            title=system_title,
        ),
        own_title=not system_title,
        timeout_s=timeout,
        counter=counter,
        counter_obis=names["--counter-obis"] or pull.counter or "",
        trace=_traced if trace else None,
    )
    report = Report(format)
    try:
        with Visit(plan, report) as visit:
            visit.begin()
            reader = Reader(visit, report, of_type, clock)
            if asked:
                reader.values(asked)
            if profile:
                reader.profile(names["--profile"], until - _DAY_MS if since is None else since, until)
            if event_log:
                reader.event_log(names["--event-log"], since, until)
            if objects:
                reader.objects()
            if relay:
                reader.relay()
            if not (asked or profile or event_log or objects or relay):
                reader.identify()
    finally:
        report.flush()
    if report.failures:
        raise typer.Exit(DONE_WITH_FAILURES)


def _traced(line: str) -> None:
    stderr.out(line, highlight=False)


def _template(name: str) -> Template:
    from connectors.templates.loader import load_templates

    templates = load_templates()
    if name not in templates:
        raise usage(f"there is no template {name!r}", "there are " + ", ".join(sorted(templates)))
    return templates[name]


def _attribute(text: str) -> Attribute:
    from connectors.protocols.dlms.get import Attribute

    try:
        attribute = Attribute.parse(text)
    except ValueError as error:
        raise usage(f"--get {error}") from None
    if attribute.class_id > 0xFFFF or not 1 <= attribute.attribute <= 0x7F:
        raise usage(f"--get {text} is beyond what can be asked", "classes are 1 to 65535, attributes 1 to 127")
    if (attribute.class_id, attribute.attribute) == _SECRET:
        raise usage(f"{text} is the secret of an association, which is never printed", "leave it out")
    return attribute


def _obis(option: str, text: str) -> str:
    from connectors.protocols.dlms.cosem import obis, obis_bytes

    try:
        return obis(obis_bytes(text)) if text else ""
    except ValueError as error:
        raise usage(f"{option}: {error}", "write it like 1.0.99.1.0.255") from None


def _zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        raise usage(f"{name!r} is no time zone", "an IANA name, such as Europe/Oslo") from None


def _time(option: str, text: str, zone: tzinfo | None) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise usage(f"{option} {text} is no time", "write it like 2026-03-01T00:00:00Z") from error
    return round((at if at.tzinfo else at.replace(tzinfo=zone or UTC)).timestamp() * 1000)


def register(app: typer.Typer) -> None:
    """Put the command on the tree."""
    app.command()(probe)
