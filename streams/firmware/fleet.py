"""The meters as campaigns see them: what each is, and why an image is not for it.

Meters that have all of it in common share one `Kind`; a plan counts kinds, not meters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.records import FirmwareManifest, Meter, Network, Protocol
from streams.runtime.authority.terms import Terms, UnorderedError, earlier
from streams.runtime.meters import MeterDirectory

LEFT_OUT = {
    "meter-model": "the image is for meters of another vendor or model",
    "meter-protocol": "the image is for meters of another protocol",
    "meter-template": "the image is for meters of other templates",
    "meter-hardware": "the image is for other hardware revisions than the meter's",
    "meter-version": "the meter's version is none that the image, or the campaign, goes from",
    "meter-downgrade": "the meter has a later version, and the campaign does not say downgrade=yes",
    "meter-unordered": "nobody can tell which version comes first: the campaign must name the meter's, or say downgrade=yes",
    "meter-current": "the meter reports the version already",
    "meter-skipped": "the meter is in a group that the campaign leaves out",
    "meter-network": "its segment leaves no room for firmware beside reading",
}
"""Why a meter takes no part, by code."""
SKIPS = frozenset({"meter-current", "meter-skipped"})
"""Those that are no fault: the meter is left out, not refused."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What meters have in common, as far as a campaign asks."""

    network: Network = Network.UNKNOWN
    segment: str = ""
    time_zone: str = ""
    vendor: str = ""
    model: str = ""
    firmware: str = ""
    template: str = ""
    protocol: Protocol = Protocol.UNKNOWN
    groups: tuple[str, ...] = ()
    hardware: str = ""


UNKNOWN_KIND = Kind()


def kind_of(meter: Meter) -> Kind:
    """A meter's."""
    return Kind(
        network=meter.network,
        segment=meter.segment,
        time_zone=meter.time_zone,
        vendor=meter.vendor,
        model=meter.model,
        firmware=meter.firmware,
        template=meter.template,
        protocol=meter.protocol,
        groups=meter.groups,
        hardware=meter.hardware,
    )


def counted(meters: Iterable[Meter]) -> Counter[Kind]:
    """How many meters there are of each kind: what `plan` asks for."""
    return Counter(map(kind_of, meters))


def why_not(manifest: FirmwareManifest, terms: Terms, kind: Kind) -> str:
    """Why meters of a kind take no part, as a code of `LEFT_OUT`; empty where they do. A version, or a revision of the
    hardware, that nobody knows is no reason: the gateway reads it before it sends anything.
    """
    if not (_same(kind.vendor, manifest.vendor) and _same(kind.model, manifest.model)):
        return "meter-model"
    if Protocol.UNKNOWN not in (manifest.protocol, kind.protocol) and manifest.protocol is not kind.protocol:
        return "meter-protocol"
    if manifest.templates and kind.template not in manifest.templates:
        return "meter-template"
    if manifest.hardware and kind.hardware and kind.hardware not in manifest.hardware:
        return "meter-hardware"
    if not set(terms.skip_groups).isdisjoint(kind.groups):
        return "meter-skipped"
    return _version(manifest, terms, kind.firmware)


def _version(manifest: FirmwareManifest, terms: Terms, version: str) -> str:
    if not version:
        return ""
    if version == manifest.to_version:
        return "meter-current"
    if any(allowed and version not in allowed for allowed in (manifest.from_versions, terms.from_versions)):
        return "meter-version"
    if terms.downgrade:
        return ""
    try:
        return "meter-downgrade" if earlier(manifest.to_version, version) else ""
    except UnorderedError:
        # Who names the version means it.
        return "" if version in (*manifest.from_versions, *terms.from_versions) else "meter-unordered"


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


class Fleet(MeterDirectory):
    """The meter directory, with the kind of each meter, and how many meters hang in each segment."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[str, Kind] = {}
        self._alike: dict[Kind, Kind] = {}
        self._in_segment: Counter[tuple[Network, str]] = Counter()

    def apply(self, meter_id: str, meter: Meter | None, partition: int = -1) -> None:
        """As `MeterDirectory.apply`."""
        super().apply(meter_id, meter, partition)
        with self._lock:
            before = self._kinds.pop(meter_id, None)
            if before is not None:
                self._in_segment[before.network, before.segment] -= 1
            if meter is not None:
                kind = kind_of(meter)
                kind = self._kinds[meter_id] = self._alike.setdefault(kind, kind)
                self._in_segment[kind.network, kind.segment] += 1

    def kind(self, meter_id: str) -> Kind:
        """What a meter is; of one that is not known, a kind that no image is for."""
        return self._kinds.get(meter_id, UNKNOWN_KIND)

    def meters_in(self, network: Network, segment: str) -> int:
        """How many meters hang in a segment, those of other makers too: reading serves all of them."""
        return self._in_segment[network, segment]
