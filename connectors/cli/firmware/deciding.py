"""A decision on a campaign from this side: what is decided on is verified here and shown before it is signed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from connectors.cli.asking import DECISIONS
from connectors.cli.deciding import decision_of
from connectors.cli.failure import CommandError
from connectors.cli.firmware.images import Shelf, described, shelf, sound
from connectors.cli.firmware.progress import left_out, minute, states_of
from connectors.cli.firmware.standing import Standing
from connectors.cli.output import say
from connectors.cli.signing import NOT_ANSWERED, Person, accepted, around, now_ms, seal, send_and_hear
from schemas.codec import Codec
from schemas.records import CommandRequest, FirmwareManifest, Target, Verdict
from schemas.signatures import digest
from streams.runtime.authority.refusals import RefusedError
from streams.runtime.authority.terms import TERMS
from streams.runtime.authority.verify import examine, named
from streams.runtime.settings import Settings

_MEANT = {Verdict.PAUSE: "campaign-paused", Verdict.CANCEL: "campaign-cancelled", Verdict.REJECT: "decision-rejected"}
"""The code on the audit chain that is the aim, and no refusal."""
_LEADS = (Verdict.APPROVE, Verdict.RESUME)
"""What lets images be sent: nobody is led to it where something does not hold."""


def decide(given: Settings, codec: Codec, standing: Standing, verdict: Verdict, reason: str, by: Person) -> bool:
    """Sign and write a decision on a campaign; whether it was heard. `CommandError` where it is refused, here or there."""
    campaign = standing.campaign
    world = around(given, codec)
    try:
        request = examine(world, campaign.request, now_ms()).request
        manifest = _image(shelf(given, codec, world), request)
        meters = _meters(standing)
    except (RefusedError, CommandError) as error:
        code = f" ({error.refusal.code})" if isinstance(error, RefusedError) else ""
        if verdict in _LEADS:
            raise CommandError(f"campaign {campaign.id} does not hold{code}: {error}", mend="do not approve it") from error
        say(f"[yellow]note[/]: the campaign does not hold{code}: {error}")
        meters = []
    else:
        _show(standing, request, manifest, whole=verdict in _LEADS)
    targets = meters if verdict in (*_LEADS, Verdict.REJECT) else ()
    decision = decision_of(given, campaign.id, campaign.request, targets, verdict, reason, by.name)
    entry = send_and_hear(given, codec, DECISIONS, campaign.id, decision, seal(codec, decision, given, by))
    if entry is None:
        say(f"[yellow]note[/]: it is written; {NOT_ANSWERED.replace('commands', 'firmware')}")
    return accepted(entry if entry is None or entry.code != _MEANT.get(verdict) else replace(entry, code=""))


def _image(found: Shelf, request: CommandRequest) -> FirmwareManifest:
    """The image that is asked for, sound and whole, and stated as when it was asked for."""
    manifest = sound(found, request.parameters.get("image", ""))
    if fault := found.fault(manifest):
        raise CommandError(f"the octets of image {manifest.id[:12]} are not sound ({fault})")
    stated = request.parameters.get("manifest")
    if stated and digest(found.book.value(manifest.id) or b"").hex() != stated:
        raise CommandError(f"image {manifest.id[:12]} is stated otherwise than when the campaign was proposed")
    return manifest


def _meters(standing: Standing) -> list[str]:
    """All its meters, as the books name them."""
    campaign, meters = standing.campaign, standing.meters()
    if not meters or len(meters) != campaign.meters or named(meters)[1] != campaign.target_root:
        raise CommandError(
            f"{len(meters)} of its {campaign.meters} meters are on the books; it may be half written: try again"
        )
    return meters


def _show(standing: Standing, request: CommandRequest, manifest: FirmwareManifest, *, whole: bool) -> None:
    campaign, terms = standing.campaign, dict(request.parameters)
    part = campaign.meters - left_out(states_of(standing))
    say(f"campaign {campaign.id} ({campaign.state}): firmware {manifest.to_version} to {part:,} meters")
    say(f"  asked by {request.requested_by}: {request.reason}")
    if not whole:
        return
    for name, value in described(manifest).items():
        say(f"  {name}: {value}")
    for name, value in shown(request.target):
        say(f"  {name}: {value}")
    for name in ("image", "version", "manifest"):
        terms.pop(name, None)
    usual = [name for name, value in terms.items() if name in TERMS and value == TERMS[name].default]
    for name, value in terms.items():
        if name not in usual:
            say(f"  {name} = {value}")
    say(f"  by default: {', '.join(f'{name} = {terms[name]}' for name in usual)}")
    if len(campaign.ends) == 3:
        early, middle, late = map(minute, campaign.ends)
        say(f"  planned to end {middle} (8 of 10 courses: {early} to {late})")
    say(f"  nothing is sent after {minute(campaign.expires)}")


def shown(target: Target) -> Iterator[tuple[str, str]]:
    """A target as it is told."""
    for name in ("groups", "segments", "transformers", "feeders", "meters"):
        names = getattr(target, name)
        if names:
            yield name, ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
