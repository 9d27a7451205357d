"""When all must end, and when the next wave may begin: what the meters of a campaign tell so far, and how surely."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from streams.firmware.bounds import is_above, is_below, lower
from streams.firmware.campaign import Case
from streams.firmware.states import ENDED, Meter


@dataclass(frozen=True, slots=True)
class Share:
    """A share that a campaign is judged by."""

    code: str
    what: str
    bad: int
    of: int
    limit: float


class Verdict(StrEnum):
    """What a canary proves."""

    GOOD = "good"
    BAD = "bad"
    OPEN = "open"  # neither: somebody must look


def shares(case: Case, waves: Sequence[int]) -> tuple[Share, ...]:
    """What is counted in these waves. A meter that is quiet counts as silent until it comes back."""
    counts, terms = case.tally(waves), case.terms
    failed = counts[Meter.FAILED] + counts[Meter.SILENT]
    silent = counts[Meter.QUIET] + counts[Meter.SILENT]
    missing = sum(case.missing[wave] for wave in waves)
    read = missing + sum(case.heard[wave] for wave in waves)
    ended = failed + counts[Meter.DONE] + counts[Meter.VERIFIED]
    return (
        Share("share-silent", "silent after activation", silent, counts[Meter.DONE] + silent, terms.silent),
        Share("share-failed", "failed", failed, ended, terms.failures),
        Share("share-missing", "not read after activation", missing, read, terms.missing),
    )


def halting(case: Case) -> tuple[str, str] | None:
    """Code and sentence where the campaign must be halted: a share of the present wave, or of all, is too high for sure."""
    scopes = {f"wave {case.wave}" if case.wave else "the canary": (case.wave,), "all": tuple(range(len(case.tallies)))}
    for where, waves in scopes.items():
        for share in shares(case, waves):
            if is_above(share.bad, share.of, share.limit, case.terms.confidence):
                sure = case.terms.confidence
                least = lower(share.bad, share.of, sure)
                return share.code, (
                    f"{share.bad} of {share.of} meters {share.what} in {where}: with {sure:.4g} confidence at least "
                    f"{least:.2%}, and the limit is {share.limit:.2%}; find out why, then ask anew"
                )
    return None


def complete(case: Case) -> bool:
    """Whether enough meters of the waves so far have ended that the next one may be thought of."""
    counts = case.tally(range(case.wave + 1))
    total = sum(counts.values())
    return settled(case, counts) >= case.terms.wave_done * total


def finished(case: Case) -> bool:
    """Whether every meter has ended."""
    counts = case.counts()
    return settled(case, counts) == len(case.meters)


def settled(case: Case, counts: Counter[Meter]) -> int:
    """Meters that nothing more is done with, of those counted."""
    ended = sum(counts[meter] for meter in ENDED)
    return ended + (counts[Meter.VERIFIED] if case.ends_verified else 0)


def proven(case: Case) -> Verdict:
    """What the canary proves, once it is complete. Good is each share that is below its limit for sure, or of which there is
    no bad meter at all: a small canary proves no more than that.
    """
    found = Verdict.GOOD
    for share in shares(case, (0,)):
        if is_above(share.bad, share.of, share.limit, case.terms.confidence):
            return Verdict.BAD
        if share.bad and not is_below(share.bad, share.of, share.limit, case.terms.confidence):
            found = Verdict.OPEN
    return found
