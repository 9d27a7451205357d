"""What a fleet is asked to be and do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Address:
    """Where pushes go."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """`HOST:PORT`, IPv6 hosts in brackets. Raises ValueError with a sentence."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError(f"{text!r} is no HOST:PORT; write it like 127.0.0.1:4059")
        return cls(host.strip("[]"), int(port))


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """Everything that decides a run. With the same values and the same wall clock a run is the same.

    Shares are 0 to 1. Times named `_s` are seconds; a period of 0 switches its kind of happening off.
    """

    home: Path  # where meters.jsonl and truth.jsonl go
    meters: int = 200
    seed: int = 7
    push_to: Address | None = None  # TCP; without it the fleet only answers reads
    udp_to: Address | None = None  # bare APDUs; without it those meters are not in the fleet
    host: str = "127.0.0.1"  # where the meters listen
    c12_to: Address | None = None  # C12.22 over TCP: registrations and notifications
    c12_udp_to: Address | None = None  # the same by datagrams; without it last gasps go over TCP
    window_from: int | None = None  # ms; which rows the truth file holds: ends in [from, to); default the previous UTC day
    window_to: int | None = None
    profile_days: int = 10  # how far back a meter's load profile reaches
    meters_per_transformer: int = 10
    transformers_per_feeder: int = 5
    life_support_share: float = 0.02
    unconfirmed_share: float = (
        0.05  # meters whose transport has no confirmation (HAN, M-Bus, UDP); they cannot be reconciled
    )
    c12_share: float = 0.0  # meters of ANSI C12.22; the others are of DLMS
    drift_share: float = 0.05  # meters whose clock is wrong
    push_every_s: float = 20.0  # registers, a meter
    outage_every_s: float = 10.0  # a transformer or premise, in the whole fleet
    outage_lasts_s: float = 12.0
    tamper_every_s: float = 6.0
    voltage_every_s: float = 8.0
    clock_every_s: float = 15.0
    noise_share: float = 0.03  # register pushes that come with bytes no head-end can accept
    pace_share: float = 0.05  # register pushes sent byte by byte, or two in one segment
    image_rejects_share: float = 0.0  # meters that find every firmware image wrong
    image_bricks_share: float = 0.0  # meters that do not come back from an activation
    group: Address | None = None  # where image blocks for all meters of DLMS at once are heard: udp, multicast or not
    group_security: str = "ciphered"  # or plain: what meters take from there
    group_loses: float = 0.0  # share of what is said there that each meter does not hear
    image_loses: int = 0  # of so many blocks each meter forgets one, once; 0: none
    restart_s: float = 5.0  # how long an activation takes
    confirm_timeout_s: float = 5.0
    backoff_s: float = 0.25  # before the first repetition; doubles
    backoff_max_s: float = 5.0
    drain_s: float = 20.0  # how long a stop waits for outstanding confirmations
    connections: int = 256  # push connections open at once

    def __post_init__(self) -> None:
        if not 1 <= self.meters <= 50_000:
            raise ValueError(f"a fleet has 1 to 50,000 meters, not {self.meters}")
        for name in ("life_support_share", "unconfirmed_share", "c12_share", "drift_share", "noise_share", "pace_share",
                     "image_rejects_share", "image_bricks_share", "group_loses"):  # fmt: skip
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share from 0 to 1, not {getattr(self, name)}")
        if self.group_security not in ("ciphered", "plain"):
            raise ValueError(f"group_security is ciphered or plain, not {self.group_security!r}")

    def window(self, now_ms: int) -> tuple[int, int]:
        """The rows that the truth file holds: interval ends from (inclusive) and to (exclusive)."""
        midnight = now_ms // DAY_MS * DAY_MS
        start = midnight - DAY_MS if self.window_from is None else self.window_from
        return start, start + DAY_MS if self.window_to is None else self.window_to
