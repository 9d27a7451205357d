"""A job at the gateway: whoever can write to a jobs topic must not be able to move a relay (rule 9)."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.codec import CodecError
from schemas.records import Job
from schemas.signatures import SignatureError, read, verify
from streams.runtime.authority.kinds import acts, kind_of
from streams.runtime.authority.refusals import Pending, Proven, Refusal, RefusedError
from streams.runtime.authority.targets import Place
from streams.runtime.authority.verify import Around, Scope, verify_decided

RELEASE = "release"
"""The role of whoever may sign jobs: a service, never a person."""
_SAME = ("operation", "objects", "from_time", "to_time", "parameters")
"""What a job must ask exactly as its request did."""


def needs_proof(job: Job) -> bool:
    """Whether a job moves a relay or changes a meter, its firmware included."""
    return acts(kind_of(job.operation, job.objects))


def verify_release(around: Around, value: bytes, releasers: Sequence[str], now_ms: int) -> Refusal | None:
    """Why a job, as it stands on its topic, is none that the service of commands wrote: one of the `releasers` must have
    signed all of it, and have the role `RELEASE` now. None where it is one, or where there are no releasers.
    """
    if not releasers:
        return None
    why = ""
    try:
        read(around.codec, value, Job)
        for name in releasers:
            try:
                verify(around.codec, value, around.environment, around.operators.signer(name, now_ms, (RELEASE,)).public_key)
            except (RefusedError, SignatureError) as error:
                why = f"{name}: {error}"
            else:
                return None
    except (CodecError, SignatureError) as error:
        why = str(error)
    return Refusal("job-unreleased", f"the service of commands did not write this job ({why}); commands go by hes.commands")


def verify_job(around: Around, job: Job, place: Place, now_ms: int) -> Proven | Refusal:
    """Whether a job that `needs_proof` is what was asked for, decided on, and may be done to this meter now.

    The caller keeps track of what it has done by `Proven.digest` and the meter's id, obeys `Policy.openings_a_minute`, and
    asks again just before it acts.
    """
    if not job.request:
        return Refusal("job-unproven", f"job {job.id} carries no signed request; commands go by hes.commands")
    if job.meter_id != place.id:
        return Refusal("job-other", f"job {job.id} is for meter {job.meter_id}, not {place.id}")
    scope = Scope((place,), whole=False, proof=job.target_proof)
    found = verify_decided(around, job.request, job.decisions, scope, now_ms)
    if isinstance(found, Pending):
        return Refusal("decision-missing", f"job {job.id} lacks {found.missing} decisions by {', '.join(found.roles)}")
    if isinstance(found, Proven):
        other = [name for name in _SAME if getattr(job, name) != getattr(found.request, name)]
        if other or job.caused_by != found.request.id:
            return Refusal("job-other", f"job {job.id} differs from its request in {', '.join(other) or 'caused_by'}")
        if (found.request.not_before or 0) > now_ms + around.policy.skew_ms:
            return Refusal("job-other", f"job {job.id} comes before the time that its request names (not_before)")
    return found
