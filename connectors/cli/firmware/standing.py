"""Campaigns as hes.campaigns has them: how each stands, its meters, and where every one of them is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from connectors.cli.failure import CommandError
from connectors.cli.topics import read_topic
from schemas.codec import Codec, CodecError, expect
from schemas.records import Campaign, CampaignMeters, CampaignProgress, CampaignState, CommandRequest, Record
from streams.runtime.settings import Settings

TOPIC = "hes.campaigns"
ENDED = frozenset({CampaignState.DONE, CampaignState.HALTED, CampaignState.REJECTED})


@dataclass(slots=True)
class Standing:
    """A campaign with what is known of its meters."""

    campaign: Campaign
    meters_of: dict[int, CampaignMeters] = field(default_factory=dict)
    progress_of: dict[int, CampaignProgress] = field(default_factory=dict)

    def meters(self) -> list[str]:
        """Every meter, in the order in which decisions name them."""
        return [meter for number in sorted(self.meters_of) for meter in self.meters_of[number].meters]

    def request(self, codec: Codec) -> CommandRequest:
        """What was asked for, not verified."""
        return expect(codec.decode(self.campaign.request), CommandRequest)


class Standings:
    """Every campaign; records are applied as they come."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._campaigns: dict[str, Standing] = {}

    def apply(self, key: str, value: bytes | None) -> None:
        """Take a record over, or its end; what cannot be read is passed over."""
        if value is None:
            if key.startswith("campaign/"):
                self._campaigns.pop(key.removeprefix("campaign/"), None)
            return
        with suppress(CodecError):
            self.take(self._codec.decode(value))

    def take(self, record: Record) -> None:
        """The same of a record that was read."""
        if isinstance(record, Campaign):
            self._of(record.id).campaign = record
        elif isinstance(record, CampaignMeters):
            self._of(record.id).meters_of[record.number] = record
        elif isinstance(record, CampaignProgress):
            self._of(record.id).progress_of[record.number] = record

    def all(self) -> Iterator[Standing]:
        """Campaigns in the order in which they were proposed."""
        known = (each for each in self._campaigns.values() if each.campaign.id)
        return iter(sorted(known, key=lambda each: each.campaign.received_at))

    def one(self, name: str) -> Standing:
        """The campaign of an id, or of the only one that begins so; `CommandError`."""
        found = self.named(name)
        if len(found) != 1:
            what = f"{len(found)} campaigns begin with {name}" if found else f"there is no campaign {name}"
            raise CommandError(what, mend="`hes firmware status` shows them")
        return found[0]

    def named(self, name: str) -> list[Standing]:
        """Those that a person may mean by it."""
        known = [each for each in self.all() if name and each.campaign.id.startswith(name)]
        return [each for each in known if each.campaign.id == name] or known

    def _of(self, name: str) -> Standing:
        return self._campaigns.setdefault(name, Standing(Campaign()))


def campaigns(given: Settings, codec: Codec) -> Standings:
    """Every campaign on the books."""
    found = Standings(codec)
    for message in read_topic(given, TOPIC):
        found.apply((message.key() or b"").decode("utf-8", "replace"), message.value())
    return found


def needed(campaign: Campaign, image_id: str) -> bool:
    """Whether a campaign that has not ended brings this image."""
    return campaign.state not in ENDED and campaign.parameters.get("image") == image_id
