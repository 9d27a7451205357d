"""Firmware: images, and the campaigns that bring them to meters, with the books of the service that runs them."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from schemas.records.fields import Millis
from schemas.records.meters import Network, Protocol, Target
from schemas.values import value_class


class CampaignState(StrEnum):
    """Where a firmware campaign stands."""

    UNKNOWN = "UNKNOWN"
    DRAFT = "DRAFT"
    APPROVED = "APPROVED"
    CANARY = "CANARY"
    WAVES = "WAVES"
    PAUSED = "PAUSED"
    HALTED = "HALTED"
    DONE = "DONE"
    REJECTED = "REJECTED"  # nobody approved it, or somebody said no


@value_class
class Campaign:
    """A firmware campaign, on `hes.campaigns`."""

    id: str = ""
    image: str = ""  # name in the image store
    image_digest: bytes = b""  # SHA-256
    vendor: str = ""
    model: str = ""
    from_versions: tuple[str, ...] = ()
    to_version: str = ""
    target: Target = Target()
    state: CampaignState = CampaignState.UNKNOWN
    parameters: dict[str, str] = field(default_factory=dict)
    updated_at: Millis = 0
    manifest_signature: bytes = b""
    request: bytes = b""  # the signed CommandRequest that proposed it
    decisions: tuple[bytes, ...] = ()  # the signed CommandDecisions that approved it
    target_root: bytes = b""  # root of the hash tree over all its meters, in order
    meters: int = 0  # that the target means
    size: int = 0  # octets of the image
    received_at: Millis = 0
    expires: Millis = 0  # no transfer is begun after this
    began_at: Millis | None = None  # the first transfer
    ended_at: Millis | None = None
    code: str = ""  # why it stands where it stands, where that is not plain
    detail: str = ""
    wave: int = 0  # 0 is the canary
    waves: int = 0  # how many there are, without the canary
    activating: bool = False  # where activation has a time of its own: that it has come
    wave_done_at: Millis | None = None  # when enough meters of the wave had ended; the next one waits from then on
    steered_at: Millis = 0  # of the last decision that paused, resumed or halted it
    counts: dict[str, int] = field(default_factory=dict)  # meters by state
    codes: tuple[str, ...] = ()  # what `CampaignProgress.codes` counts into, from 1
    ends: tuple[Millis, ...] = ()  # when it is expected to end: the tenth, fiftieth and ninetieth percentile, as planned


@value_class
class CampaignMeters:
    """Some of a campaign's meters, on `hes.campaigns`: what does not change any more."""

    id: str = ""  # of the campaign
    number: int = 0  # of the slice, from 0; slices are in the order of the meters
    meters: tuple[str, ...] = ()
    waves: bytes = b""  # an octet a meter: the wave that it belongs to


@value_class
class CampaignProgress:
    """Where the meters of a slice stand, on `hes.campaigns`; everything is in the order of the slice's meters."""

    id: str = ""
    number: int = 0
    states: bytes = b""  # a letter of streams/firmware/states.py each
    attempts: bytes = b""  # an octet each: jobs that were sent
    failures: bytes = b""  # an octet each: jobs that brought nothing, in a row
    codes: bytes = b""  # an octet each: why, as an index into `Campaign.codes` that begins with 1; 0: nothing was wrong
    shares: bytes = b""  # an octet each: percent of the image that is in the meter
    reads: bytes = b""  # an octet each: scheduled reads missed since the activation; 255: one was answered
    times: bytes = b""  # four octets each, little endian, seconds since 1970: when it came to be so, or is due again
    at: Millis = 0


@value_class
class CampaignBudget:
    """What campaigns have taken of a segment's hours, on `hes.campaigns`."""

    network: Network = Network.UNKNOWN
    segment: str = ""
    hours: tuple[int, ...] = ()  # since 1970
    octets: tuple[int, ...] = ()  # of each


@value_class
class CampaignLedger:
    """Up to where everything is in the books of campaigns, on `hes.campaigns`, written together with what it counts."""

    positions: dict[str, int] = field(default_factory=dict)  # topic/partition: the next offset to read
    sequence: int = 0  # of the last AuditEntry of the chain
    hash: bytes = b""  # likewise
    at: Millis = 0


@value_class
class CampaignStop:
    """That a campaign was paused or halted, on `hes.campaign-stops`: jobs of it that gateways hold are void."""

    id: str = ""  # of the campaign
    at: Millis = 0  # jobs that were issued until then are void
    final: bool = False  # every job of it is, whenever it was issued
    code: str = ""  # why
    detail: str = ""
    environment: str = ""
    signature: bytes = b""  # of the service of campaigns, where jobs are signed


@value_class
class FirmwareManifest:
    """What a firmware image is and which meters it is for, on `hes.images`; signed by the operator who added it."""

    id: str = ""  # SHA-256 of the image, lower-case hex
    name: str = ""  # of the file that it was added from
    size: int = 0  # octets
    vendor: str = ""
    model: str = ""
    hardware: tuple[str, ...] = ()  # revisions that it is for; empty: any
    protocol: Protocol = Protocol.UNKNOWN
    templates: tuple[str, ...] = ()  # of meters that it is for; empty: any
    from_versions: tuple[str, ...] = ()  # which may be active before; empty: any
    to_version: str = ""  # what the meter reports afterwards
    identifier: bytes = b""  # image identifier, IEC 62056-6-2 class 18
    vendor_signature: bytes = b""  # what the meter shows for the image; empty: not compared
    checked: str = ""  # how the file was proven to be the manufacturer's
    parts: int = 0  # on the topic; 0 where it is fetched by URL
    part_size: int = 0  # octets of each but the last
    url: str = ""
    added_by: str = ""
    added_at: Millis = 0
    environment: str = ""
    signature: bytes = b""
    removed: bool = False  # there is no such image any more: it was removed by whom, and when, it says it was added


@value_class
class FirmwarePart:
    """A part of a firmware image, on `hes.images`."""

    image: str = ""
    number: int = 0  # from 0
    data: bytes = b""
