"""Which meter belongs to which wave, and who comes first in a segment: by a hash of its id, the same at every start.

A wave takes its share of every segment, so that all networks work at the same time, and that what an image does in one
of them is seen in the first waves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from streams.firmware.fleet import Kind
from streams.runtime.authority.terms import Terms


def rank(campaign: str, meter_id: str) -> int:
    """Where a meter stands in its segment: 64 bits that mean nothing else, and differ from campaign to campaign."""
    return int.from_bytes(blake2b(f"{campaign}\0{meter_id}".encode(), digest_size=8).digest())


def waves_of(campaign: str, meters: Sequence[str], kinds: Sequence[Kind], takes_part: Sequence[bool], terms: Terms) -> bytes:
    """The wave of each meter, 0 for the canary; whoever takes no part is in the last."""
    last = len(terms.waves)
    found = bytearray([last]) * len(meters)
    line = [index for index in _line(campaign, meters, kinds) if takes_part[index]]
    if terms.canary.group:
        canary = {index for index in line if terms.canary.group in kinds[index].groups}
    else:
        canary = set(line[: terms.canary.size(len(line))])
    for index in canary:
        found[index] = 0
    rest = [index for index in line if index not in canary]
    begun = 0
    for number, share in enumerate(terms.waves, start=1):
        until = len(rest) if share == 1 else max(begun, round(share * len(line)) - len(canary))
        for index in rest[begun:until]:
            found[index] = number
        begun = until
    return bytes(found)


def _line(campaign: str, meters: Sequence[str], kinds: Sequence[Kind]) -> list[int]:
    """All meters in one line, of which every beginning has its even share of every segment."""
    places = [(kind.network, kind.segment) for kind in kinds]
    ranks = [rank(campaign, meter) for meter in meters]
    sizes = Counter(places)
    stands: list[float] = [0.0] * len(meters)
    before: Counter[tuple[str, str]] = Counter()
    for index in sorted(range(len(meters)), key=ranks.__getitem__):
        place = places[index]
        phase = rank(campaign, f"{place[0]}\0{place[1]}") / 2.0**64
        stands[index] = (before[place] + phase) / sizes[place]
        before[place] += 1
    return sorted(range(len(meters)), key=lambda index: (stands[index], ranks[index]))
