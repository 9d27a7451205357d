"""Whether an image is for a meter: what the job asks for, against the registry and what the meter itself tells."""

from __future__ import annotations

from connectors.gateway.drivers.dlms_order import DlmsOrder
from connectors.gateway.errors import JobError
from schemas.records import FirmwareManifest, Protocol
from schemas.signatures import digest
from streams.runtime.authority.terms import Terms, TermsError, UnorderedError, earlier, terms_of


def wanted(order: DlmsOrder) -> tuple[Terms, FirmwareManifest]:
    """What a job asks for, checked against what the registry says of the meter. Raises `JobError`."""
    if order.images is None:
        raise JobError("operation-unsupported", "this gateway has no firmware images; nothing was sent to the meter")
    try:
        terms = terms_of(order.job.parameters)
    except TermsError as error:
        raise JobError("object-invalid", f"{error}; nothing was sent to the meter") from None
    manifest = order.images.manifest(terms.image)
    if manifest is None:
        detail = f"no sound manifest of the image {terms.image[:16]}… is on hes.images: add it with hes firmware add"
        raise JobError("image-missing", detail)
    if terms.manifest and terms.manifest != digest(order.images.value(terms.image) or b"").hex():
        detail = "the image's manifest is another than the one that was approved; ask anew, nothing was sent to the meter"
        raise JobError("image-invalid", detail, harmless=True)
    meter = order.meter
    for fits, what in (
        (manifest.to_version == terms.version,
         f"the image makes {manifest.to_version!r}, and the campaign asks for {terms.version!r}"),
        (manifest.protocol in (Protocol.DLMS, Protocol.UNKNOWN), f"the image is for {manifest.protocol} meters"),
        (_alike(manifest.vendor, meter.vendor) and _alike(manifest.model, meter.model),
         f"the image is for {manifest.vendor} {manifest.model}, and the meter is a {meter.vendor} {meter.model}"),
        (not manifest.templates or meter.template in manifest.templates,
         f"the image is for meters of the templates {', '.join(manifest.templates)}, the meter's is {meter.template!r}"),
        (not manifest.hardware or order.template.pull.hardware is not None,
         "the image is for some hardware revisions only: set pull.hardware in the template to where the meter's is"),
    ):  # fmt: skip
        if not fits:
            raise unfit(what)
    return terms, manifest


def text_of(value: bytes | str) -> str:
    """A version as a meter has it: text, padded or not; else its octets in hex."""
    if isinstance(value, str):
        return value.strip("\0 ")
    stripped = value.strip(b"\0 ")
    try:
        text = stripped.decode("ascii")
    except UnicodeDecodeError:
        return value.hex()
    return text if text.isprintable() and text else value.hex()


def check_version(terms: Terms, manifest: FirmwareManifest, version: str) -> None:
    """Raises `JobError` where the way does not lead from the version that the meter has."""
    for allowed in (manifest.from_versions, terms.from_versions):
        if allowed and version not in allowed:
            raise unfit(f"the meter has version {version!r}, and the way leads from {', '.join(allowed)} only")
    if terms.downgrade:
        return
    try:
        if earlier(terms.version, version):
            raise unfit(f"the meter has the later version {version!r}, and the campaign does not say downgrade=yes")
    except UnorderedError as error:
        if version not in (*manifest.from_versions, *terms.from_versions):
            raise unfit(f"{error}, and the campaign neither names the meter's nor says downgrade=yes") from error


def _alike(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def unfit(what: str) -> JobError:
    """The image is not for this meter."""
    return JobError("firmware-unfit", f"{what}; nothing was sent", harmless=True)
