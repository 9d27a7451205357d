"""Campaigns that were paused or halted: which of the jobs that gateways hold are void. hes.campaign-stops as a book.

A stop only takes away: it names a time, and every job of the campaign that was issued until then is void, whenever it is
read; of a campaign that was halted every job is. So nothing has to be lifted: a campaign that is resumed issues new jobs.
A tombstone, and an older stop, change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas.codec import Codec, CodecError
from schemas.records import CampaignStop, Job
from schemas.signatures import SignatureError, read, verify
from streams.runtime.authority.jobs import RELEASE
from streams.runtime.authority.operators import Operators
from streams.runtime.authority.refusals import Refusal

TOPIC = "hes.campaign-stops"
HALTED = "campaign-halted"
"""The code of a job that such a stop ended."""


class Stops:
    """The stop of each campaign that counts most. Applied on one thread, asked on any."""

    def __init__(self, codec: Codec, environment: str, operators: Operators, releasers: Sequence[str] = ()) -> None:
        self._codec = codec
        self._environment = environment
        self._operators = operators
        self._releasers = releasers
        self._latest: dict[str, CampaignStop] = {}

    def apply(self, value: bytes | None) -> CampaignStop | Refusal | None:
        """Take a record over; None for a tombstone. Where there are releasers, one of them must have signed it: since it
        protects, a key counts that was good when it was written, also where it was revoked since.

        `RegistryError` passes through where the registry is down.
        """
        if value is None:
            return None
        try:
            stop = read(self._codec, value, CampaignStop)
        except (CodecError, SignatureError) as error:
            return Refusal(error.code, f"{TOPIC}: {error}")
        if stop.environment != self._environment:
            return Refusal("environment-other", f"{TOPIC}: the stop of {stop.id} is for environment {stop.environment!r}")
        if self._releasers and (refusal := self._unproven(value, stop)) is not None:
            return refusal
        known = self._latest.get(stop.id)
        if known is None or (not known.final and (stop.final or stop.at > known.at)):
            self._latest[stop.id] = stop
        return stop

    def voiding(self, job: Job) -> CampaignStop | None:
        """The stop that makes a job void."""
        stop = self._latest.get(job.caused_by)
        return stop if stop is not None and (stop.final or job.issued_at <= stop.at) else None

    def _unproven(self, value: bytes, stop: CampaignStop) -> Refusal | None:
        who = ", ".join(self._releasers)
        fault = Refusal("job-unreleased", f"{TOPIC}: no key of {who} was good when {stop.id} was stopped")
        for name in self._releasers:
            for version in self._operators.keys_at(name, stop.at, (RELEASE,)):
                try:
                    verify(self._codec, value, self._environment, version.public_key)
                except SignatureError as error:
                    fault = Refusal(error.code, f"{TOPIC}: the stop of {stop.id}, in the name of {name}: {error.detail}")
                else:
                    return None
        return fault
