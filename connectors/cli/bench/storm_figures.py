"""The figures of `hes bench storm`: how long alarms took, and what was told of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from connectors.cli.bench.storm_load import Gasp, Heard, Options, is_of
from schemas.codec import Codec
from schemas.records import OutageEvent, OutageScope, OutageStatus


@dataclass(slots=True)
class Told:
    """What the OMS was told: when each alarm was named, and all revisions."""

    at: dict[str, list[float]] = field(default_factory=dict)
    events: list[OutageEvent] = field(default_factory=list)
    _read: int = 0

    def take(self, codec: Codec, heard: Heard, options: Options) -> None:
        """Decode what came since the last call, as far as it is of this storm."""
        for at, values in heard.batches[self._read :]:
            for value in values:
                event = codec.decode(value)
                if isinstance(event, OutageEvent) and is_of(options, event):
                    self.events.append(event)
                    for alarm in event.alarms:
                        self.at.setdefault(alarm, []).append(at)
        self._read = len(heard.batches)


def row_of(gasps: Sequence[Gasp], sent: Sequence[float], told: Told, options: Options) -> dict[str, object]:
    """Of one storm. Times are from when an alarm was planned, and for `p99_sent_ms` from when it was really sent."""
    planned = [gasp.at_ms / 1_000 for gasp in gasps]
    waited = sorted((told.at[gasp.alarm][0] - at) * 1_000 for gasp, at in zip(gasps, planned, strict=True))
    from_sent = sorted((told.at[gasp.alarm][0] - at) * 1_000 for gasp, at in zip(gasps, sent, strict=True))
    late = sorted((at - plan) * 1_000 for at, plan in zip(sent, planned, strict=True))
    firsts = _firsts(gasps, told)
    latest: dict[str, OutageEvent] = {}
    for event in told.events:
        if event.outage_id not in latest or latest[event.outage_id].revision < event.revision:
            latest[event.outage_id] = event
    scopes = Counter(event.scope for event in latest.values() if event.status is not OutageStatus.MERGED)
    transformers = Counter(event.transformer for event in latest.values() if event.transformer)
    revisions = sum(bool(event.transformer) for event in told.events)
    return {
        "alarms": len(gasps),
        "alarms_per_s": options.rate,
        "sent_per_s": round(len(gasps) / max(1e-3, max(sent) - min(sent))),
        "told": len(told.at),
        "told_twice": sum(len(times) > 1 for times in told.at.values()),
        "p50_ms": round(at_share(waited, 0.5)),
        "p99_ms": round(at_share(waited, 0.99)),
        "longest_ms": round(waited[-1]),
        "first_p50_ms": round(at_share(firsts, 0.5)),
        "first_p99_ms": round(at_share(firsts, 0.99)),
        "p99_sent_ms": round(at_share(from_sent, 0.99)),
        "bench_late_p99_ms": round(at_share(late, 0.99)),
        "outages_a_transformer": round(transformers.total() / max(1, len(transformers)), 3),
        "revisions_a_transformer": round(revisions / max(1, len(transformers)), 1),
        **{str(scope).lower(): scopes.get(scope, 0) for scope in OutageScope if scope is not OutageScope.UNKNOWN},
    }


def _firsts(gasps: Sequence[Gasp], told: Told) -> list[float]:
    """How long after the first alarm of each outage its first revision was there, in milliseconds, in order."""
    at_of = {gasp.alarm: gasp.at_ms / 1_000 for gasp in gasps}
    found: dict[str, float] = {}
    for event in told.events:
        if event.revision == 1 and event.alarms:
            began = min(at_of[alarm] for alarm in event.alarms)
            found[event.outage_id] = (told.at[event.alarms[0]][0] - began) * 1_000
    return sorted(found.values())


def at_share(ordered: Sequence[float], share: float) -> float:
    """The value below which such a share of the others is; 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
