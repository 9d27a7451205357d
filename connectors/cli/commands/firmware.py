"""`hes firmware`: the images that meters may get; the group's other commands are in `campaigns`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.cli import context
from connectors.cli.commands import campaigns
from connectors.cli.failure import CommandError, usage
from connectors.cli.options import AsOption, KeyOption
from connectors.cli.output import Format, FormatOption, chosen, dumps, emit, row_of
from schemas.records import FirmwareManifest, Protocol

firmware = typer.Typer(help="Firmware: images, and the campaigns that bring them to meters.", no_args_is_help=True)
Image = Annotated[str, typer.Argument(metavar="IMAGE", help="its id, as much of it as no other has, or its version")]


@firmware.command()
def add(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="the image, as the manufacturer gives it")],
    vendor: Annotated[str, typer.Option(help="of the meters it is for, as `hes meters show` has it")],
    model: Annotated[str, typer.Option(help="of the meters it is for, likewise")],
    version: Annotated[str, typer.Option(help="what a meter reports once it runs")],
    sha256: Annotated[str, typer.Option(help="digest that the manufacturer gives, hex")] = "",
    vendor_key: Annotated[
        Path | None, typer.Option(help="the manufacturer's public key or certificate, PEM", exists=True, dir_okay=False)
    ] = None,
    vendor_signature: Annotated[
        Path | None, typer.Option(help="the manufacturer's signature over the file", exists=True, dir_okay=False)
    ] = None,
    hardware: Annotated[list[str] | None, typer.Option(help="only for this revision; several times")] = None,
    from_version: Annotated[list[str] | None, typer.Option(help="only over this version; several times")] = None,
    template: Annotated[list[str] | None, typer.Option(help="only for meters of this template; several times")] = None,
    identifier: Annotated[str, typer.Option(help="DLMS image identifier, text or 0x and hex; default: MODEL-VERSION")] = "",
    shown_signature: Annotated[
        str, typer.Option(help="what the meter must show as the image's signature before it is activated, hex")
    ] = "",
    url: Annotated[str, typer.Option(help="where gateways fetch it (file:, http:, https:) instead of from Kafka")] = "",
    protocol: Annotated[Protocol, typer.Option(case_sensitive=False)] = Protocol.DLMS,
    operator: AsOption = "",
    key: KeyOption = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Add an image: the file is held against the manufacturer's digest or signature, its manifest signed, its octets stored.

    The same file twice is one image. What it is for can be stated anew by adding it again.
    """
    from connectors.cli.firmware.images import add as put
    from connectors.cli.firmware.images import (
        check_url,
        identifier_of,
        read_file,
        same_digest,
        shelf,
        stated,
    )
    from connectors.cli.firmware.vendor import checked
    from connectors.cli.signing import around, person
    from connectors.cli.watching import encoded

    if (vendor_key is None) != (vendor_signature is None):
        raise usage("a signature needs its key, and a key its signature", "give both --vendor-key and --vendor-signature")
    data = read_file(file)
    proofs = [same_digest(data, sha256)] if sha256 else []
    if vendor_key is not None and vendor_signature is not None:
        proofs.append(checked(data, vendor_key.read_bytes(), vendor_signature.read_bytes()))
    given, by = context.settings(), person(operator, key)
    codec = encoded(given)
    if url:
        check_url(url, data)
    manifest = stated(
        data,
        name=file.name,
        vendor=vendor,
        model=model,
        to_version=version,
        hardware=tuple(hardware or ()),
        from_versions=tuple(from_version or ()),
        templates=tuple(template or ()),
        identifier=identifier_of(identifier or f"{model}-{version}"),
        vendor_signature=identifier_of(f"0x{shown_signature}"),
        protocol=protocol,
        checked=", ".join(proofs),
        url=url,
        added_by=by.name,
        environment=given.environment,
    )
    emit([put(given, shelf(given, codec, around(given, codec)), manifest, data, by)], format)


@firmware.command("list")
def list_(format: FormatOption = None) -> None:  # noqa: A002 - the option's name
    """List images, and whether each may be installed."""
    from connectors.cli.firmware.images import shelf
    from connectors.cli.signing import around, now_ms
    from connectors.cli.watching import encoded
    from streams.runtime.clock import iso
    from streams.runtime.image_book import short

    given = context.settings()
    codec = encoded(given)
    found = shelf(given, codec, around(given, codec))
    rows: list[dict[str, Any]] = []
    whole_id = chosen(format) is Format.JSON
    for image_id in found.book.ids():
        judged = found.book.judge(image_id, now_ms())
        if isinstance(judged, FirmwareManifest):
            rows.append(
                {
                    "image": image_id if whole_id else short(image_id),
                    "vendor": judged.vendor,
                    "model": judged.model,
                    "version": judged.to_version,
                    "size": judged.size,
                    "checked": judged.checked,
                    "added_by": judged.added_by,
                    "added_at": iso(judged.added_at),
                    "code": found.fault(judged),
                }
            )
        else:
            rows.append({"image": image_id, "code": judged.code})
    emit(
        sorted(rows, key=lambda row: str(row.get("added_at", ""))),
        format,
        empty="no images; `hes firmware add FILE …` adds one",
    )


@firmware.command()
def show(image: Image) -> None:
    """Show an image: what it is for, who added it, and whether it is whole."""
    from connectors.cli.firmware.images import one, shelf, sound
    from connectors.cli.signing import around
    from connectors.cli.watching import encoded

    given = context.settings()
    codec = encoded(given)
    found = shelf(given, codec, around(given, codec))
    manifest = sound(found, one(found, image))
    fault = found.fault(manifest)
    print(dumps(row_of(manifest) | {"whole": not fault, "code": fault}))


@firmware.command()
def remove(
    image: Image,
    force: Annotated[bool, typer.Option("--force", help="also where a campaign needs it, which then fails")] = False,
    operator: AsOption = "",
    key: KeyOption = None,
    format: FormatOption = None,  # noqa: A002 - the option's name
) -> None:
    """Remove an image, signed as it was added. Meters that have it keep it."""
    from connectors.cli.firmware.images import one, shelf
    from connectors.cli.firmware.images import remove as take_away
    from connectors.cli.firmware.standing import campaigns as standings
    from connectors.cli.firmware.standing import needed
    from connectors.cli.signing import around, person
    from connectors.cli.watching import encoded

    given, by = context.settings(), person(operator, key)
    codec = encoded(given)
    found = shelf(given, codec, around(given, codec))
    image_id = one(found, image)
    needs = [each.campaign.id for each in standings(given, codec).all() if needed(each.campaign, image_id)]
    if needs and not force:
        raise CommandError(
            f"campaign {', '.join(needs)} needs image {image_id[:12]}",
            mend="halt it first (`hes firmware halt`), or add --force: what is left of it then fails",
        )
    take_away(given, found, image_id, by)
    emit([{"image": image_id, "removed": True}], format)


def register(app: typer.Typer) -> None:
    """Put the group on the tree."""
    campaigns.register(firmware)
    app.add_typer(firmware, name="firmware")
