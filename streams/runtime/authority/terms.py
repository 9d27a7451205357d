"""The terms of a firmware campaign: the parameters of its signed request, read and checked.

Everything that a campaign may do is in them, so that whoever approves it has signed all of it: the image and the version
that must come of it, when, how many at a time, how much of the network, and what ends it. A name that is not in `TERMS`
is refused, since a misspelt limit that is passed over would be one that does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from itertools import pairwise
from typing import Any

from schemas.records import Network

NOW, VERIFIED = "now", "verified"
CANARY_LEAST = 50
"""Meters of a canary that is given as a share: fewer would tell too little."""
_UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DAY_MINUTES = 1_440
_MOST_WAVES, _MOST_WINDOWS, _MOST_NAMES = 50, 4, 50
NETWORKS = tuple(network.value.lower() for network in Network)


class TermsError(ValueError):
    """A parameter is missing, unknown or out of its range; the sentence names it and the mend."""


class UnorderedError(ValueError):
    """Of two versions nobody can tell which comes first; the sentence names both."""


@dataclass(frozen=True, slots=True)
class Window:
    """A time of day in which meters may be sent an image, in minutes after their own midnight; over midnight where it ends
    before it begins.
    """

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Canary:
    """The first meters: the members of a group, a number, or a share of all."""

    group: str = ""
    meters: int = 0
    share: float = 0.0

    def size(self, meters: int) -> int:
        """Of a campaign to so many meters, where it is no group."""
        wanted = self.meters or max(CANARY_LEAST, round(meters * self.share))
        return min(meters, wanted)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a campaign may do. Shares are from 0 to 1, times milliseconds."""

    image: str
    version: str
    manifest: str
    """SHA-256 of the manifest that was looked at, hex; empty where nobody said."""
    activate_at: int | None
    """Milliseconds since the epoch; None: as soon as the image is verified, or not at all (`installs`)."""
    installs: bool
    """False where the image is only brought to the meters and verified."""
    downgrade: bool
    from_versions: tuple[str, ...]
    skip_groups: tuple[str, ...]
    canary: Canary
    waves: tuple[float, ...]
    """Shares of all meters that have been let in when a wave begins, rising to 1."""
    wave_done: float
    soak_ms: int
    windows: tuple[Window, ...]
    shares: Mapping[str, float]
    """Of a segment's rate at most, by network; what is absent is as the settings say."""
    concurrent: Mapping[str, int]
    loss: float
    failures: float
    silent: float
    missing: float
    confidence: float
    retries: int
    retry_after_ms: int
    silent_after_ms: int
    watch_ms: int


@dataclass(frozen=True, slots=True)
class Term:
    """A parameter: how it is read, what holds where it is absent, and what it means."""

    read: Callable[[str], Any]
    default: str
    meaning: str


def _span(text: str) -> int:
    found = re.fullmatch(r"(\d{1,5})([mhd])", text)
    if found is None:
        raise TermsError("must be a time such as 30m, 18h or 2d")
    return int(found[1]) * _UNITS[found[2]]


def _share(text: str) -> float:
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,4})?) ?%", text)
    if found is None or not 0 < float(found[1]) <= 100:
        raise TermsError("must be a share above 0% up to 100%, such as 0.5%")
    return float(found[1]) / 100


def _part(text: str) -> float:
    """A share below 1, 0 included."""
    if text == "0%":
        return 0.0
    share = _share(text)
    if share > 0.95:
        raise TermsError("must be 95% at most")
    return share


def _confidence(text: str) -> float:
    share = _share(text)
    if not 0.8 <= share <= 0.9999:
        raise TermsError("must be from 80% to 99.99%")
    return share


def _count(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,7}", text) or not least <= int(text) <= most:
            raise TermsError(f"must be a number from {least} to {most}")
        return int(text)

    return read


def _digest(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise TermsError("must be a SHA-256: 64 hex digits in lower case (`hes firmware list`)")
    return text


def _optional_digest(text: str) -> str:
    return _digest(text) if text else ""


def _version(text: str) -> str:
    if not 0 < len(text.strip()) <= 100:
        raise TermsError("must be what the meter reports afterwards, 1 to 100 characters")
    return text


def _activation(text: str) -> tuple[bool, int | None]:
    if text in (NOW, VERIFIED):
        return text == NOW, None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise TermsError("must be now, verified, or a time with its offset such as 2026-03-01T02:00:00+01:00")
    return True, round(at.timestamp() * 1000)


def _yes(text: str) -> bool:
    if text not in ("yes", "no"):
        raise TermsError("must be yes or no")
    return text == "yes"


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if len(names) > _MOST_NAMES:
        raise TermsError(f"must be {_MOST_NAMES} names at most")
    return names


def _canary(text: str) -> Canary:
    kind, _, group = text.partition(":")
    if kind == "group" and group.strip():
        return Canary(group=group.strip())
    if text.endswith("%"):
        return Canary(share=_share(text))
    try:
        return Canary(meters=_count(1, 1_000_000)(text))
    except TermsError:
        raise TermsError("must be a number of meters, a share such as 0.1%, or group:NAME") from None


def _waves(text: str) -> tuple[float, ...]:
    shares = tuple(_share(part.strip()) for part in text.split(","))
    if len(shares) > _MOST_WAVES or shares[-1] != 1 or any(a >= b for a, b in pairwise(shares)):
        raise TermsError("must be rising shares that end with 100%, such as 1%,10%,100%")
    return shares


def _minutes(text: str) -> int:
    found = re.fullmatch(r"([01]\d|2[0-3]|24):([0-5]\d)", text.strip())
    minutes = -1 if found is None else int(found[1]) * 60 + int(found[2])
    if not 0 <= minutes <= _DAY_MINUTES:
        raise TermsError("must be spans of local time such as 00:00-04:00, several by commas")
    return minutes


def _windows(text: str) -> tuple[Window, ...]:
    found = []
    for part in text.split(","):
        start, _, end = part.partition("-")
        window = Window(_minutes(start), _minutes(end))
        if window.start in (window.end, _DAY_MINUTES):
            raise TermsError("must be spans of local time that begin before they end; over midnight as 22:00-04:00")
        found.append(window)
    if len(found) > _MOST_WINDOWS or _overlap(found):
        raise TermsError(f"must be {_MOST_WINDOWS} spans at most that do not overlap")
    return tuple(sorted(found, key=lambda window: window.start))


def _overlap(windows: list[Window]) -> bool:
    taken = [0] * _DAY_MINUTES
    for window in windows:
        length = (window.end - window.start) % _DAY_MINUTES or _DAY_MINUTES
        for minute in range(window.start, window.start + length):
            taken[minute % _DAY_MINUTES] += 1
    return max(taken) > 1


TERMS: Mapping[str, Term] = {
    "image": Term(_digest, "", "SHA-256 of the image, hex"),
    "manifest": Term(
        _optional_digest, "", "SHA-256 of the image's manifest as it was looked at, hex: another one is refused"
    ),
    "version": Term(_version, "", "what the meter must report afterwards; the manifest must name the same"),
    "activate": Term(_activation, NOW, "now (once verified), verified (brought there, not activated), or an ISO 8601 time"),
    "downgrade": Term(_yes, "no", "yes where an earlier version is meant: the way back"),
    "from": Term(_names, "", "only meters that report one of these versions, by commas; empty: all the manifest allows"),
    "skip-groups": Term(_names, "", "groups whose meters are left out, by commas"),
    "canary": Term(_canary, "0.1%", f"the first meters: a number, a share (at least {CANARY_LEAST}), or group:NAME"),
    "waves": Term(_waves, "1%,10%,100%", "shares of all meters that may have been begun with after each wave opens"),
    "wave-done": Term(_share, "95%", "of a wave's meters that must have ended before the next one opens"),
    "soak": Term(_span, "18h", "how long after that the next one opens: time to see what the image does"),
    "windows": Term(_windows, "00:00-04:00", "when images are sent, in each meter's local time; several by commas"),
    "loss": Term(_part, "3%", "share of blocks that are expected to be sent again"),
    "failures": Term(_share, "5%", "halt where the share of meters that failed is above it for sure"),
    "silent": Term(_share, "1%", "halt where the share of meters silent after activation is above it for sure"),
    "missing": Term(_share, "5%", "halt where the share of meters whose reads fail after activation is above it for sure"),
    "confidence": Term(_confidence, "99%", "how sure: one-sided, by Clopper and Pearson"),
    "retries": Term(_count(0, 20), "4", "jobs more for a meter whose last one brought nothing, before it has failed"),
    "retry-after": Term(_span, "12h", "between them"),
    "silent-after": Term(_span, "3d", "a meter silent after activation is pinged for so long, then given up"),
    "watch": Term(_span, "2d", "how long reads are watched after activation"),
}
"""Every parameter but those by network."""
BY_NETWORK: Mapping[str, Term] = {
    "share": Term(_share, "", "share.NETWORK: of a segment's rate at most, such as share.nb_iot = 10%"),
    "concurrent": Term(_count(1, 1_000), "", "concurrent.NETWORK: transfers in a segment at once, at most"),
}
"""Parameters with a network behind a dot; they can only lower what the settings allow."""
_ONE_BY_ONE = ("broadcast", "multicast", "group-address")
"""What somebody may look for: it is the segment's affair (`firmware.groups` of the settings), whatever is brought."""
_REQUIRED = ("image", "version")


def terms_of(parameters: Mapping[str, str]) -> Terms:
    """The terms that a request's parameters state; `TermsError`."""
    found: dict[str, Any] = {}
    for name in _REQUIRED:
        if not parameters.get(name):
            raise TermsError(f"the parameter {name} is missing: {TERMS[name].meaning}")
    by_network: dict[str, dict[str, Any]] = {name: {} for name in BY_NETWORK}
    for name, text in parameters.items():
        head, _, network = name.partition(".")
        if head in BY_NETWORK and network:
            if network not in NETWORKS:
                raise TermsError(f"the parameter {name} names no network; write one of {', '.join(NETWORKS)}")
            by_network[head][network] = _read(name, BY_NETWORK[head], text)
        elif name in TERMS:
            found[name] = _read(name, TERMS[name], text)
        elif head in _ONE_BY_ONE:
            raise TermsError(
                f"the parameter {name} asks for blocks to many at once; that is the segment's setting (firmware.groups), "
                "not the campaign's: remove it"
            )
        else:
            near = get_close_matches(name, (*TERMS, *BY_NETWORK), 1)
            mend = f"did you mean {near[0]}?" if near else "remove it"
            raise TermsError(f"a campaign knows no parameter {name!r}; {mend}")
    for name, term in TERMS.items():
        if name not in found:
            found[name] = term.read(term.default)
    installs, activate_at = found["activate"]
    return Terms(
        image=found["image"],
        version=found["version"],
        manifest=found["manifest"],
        activate_at=activate_at,
        installs=installs,
        downgrade=found["downgrade"],
        from_versions=found["from"],
        skip_groups=found["skip-groups"],
        canary=found["canary"],
        waves=found["waves"],
        wave_done=found["wave-done"],
        soak_ms=found["soak"],
        windows=found["windows"],
        shares=by_network["share"],
        concurrent=by_network["concurrent"],
        loss=found["loss"],
        failures=found["failures"],
        silent=found["silent"],
        missing=found["missing"],
        confidence=found["confidence"],
        retries=found["retries"],
        retry_after_ms=found["retry-after"],
        silent_after_ms=found["silent-after"],
        watch_ms=found["watch"],
    )


def fault_in_terms(parameters: Mapping[str, str]) -> str:
    """What is wrong with a campaign's parameters, as a sentence; empty where nothing is."""
    try:
        terms_of(parameters)
    except TermsError as error:
        return str(error)
    return ""


def _read(name: str, term: Term, text: str) -> Any:
    try:
        return term.read(text)
    except TermsError as error:
        raise TermsError(f"the parameter {name} is {text[:60]!r} and {error}") from None


def earlier(version: str, than: str) -> bool:
    """Whether a version comes before another, by the numbers in it: 1.9 before 1.10. `UnorderedError` where one of two that
    differ has no number, so that nobody can tell.
    """
    one, other = (tuple(map(int, re.findall(r"\d{1,18}", text))) for text in (version, than))
    if version != than and not (one and other):
        raise UnorderedError(f"nobody can tell which of {version[:60]!r} and {than[:60]!r} comes first")
    return one < other
