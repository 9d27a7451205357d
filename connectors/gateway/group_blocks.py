"""Which blocks of an image go to a group, and when: a room for transfers that lack the same blocks. Pure, times passed in.

    GATHERING ─full, or gather_s over─▶ SENDING ─no block more─▶ SETTLING ─gap_s─▶ ASKING ─all told, or answer_s over─┐
                                          ▲                                                                           │
                                          └──────────── a round more, while two lack the same block ◀─────────────────┤
    OVER ◀── fewer than two are left (from anywhere), another image is on its way in the segment, rounds are done ◀───┘

A block is sent while two lack it: what one meter lacks alone it gets by itself, with an answer. Nobody answers the group, so
what came of a round only the meters' own bitmaps tell. Who comes late takes what is still to come of the round, and lacks
the rest in the next one. Who heard nothing of a round is let go, to be served by itself; so is who does not tell in time,
and who lacks nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from streams.runtime.group_settings import Group

_ANSWER_S = 120.0
"""How long meters have to tell what they lack: their more urgent jobs go first."""
_HEARD = 8
"""Of so many blocks in vain it is said that a meter does not hear the group; of fewer it may have lost all."""


class Phase(Enum):
    """Where a room is."""

    GATHERING = "gathering"
    SENDING = "sending"
    SETTLING = "settling"
    ASKING = "asking"
    OVER = "over"


class Wants(Enum):
    """What a meter in a room is to do."""

    WAIT = "wait"
    TELL = "tell"
    """Read what it lacks."""
    GO = "go"
    """On by itself."""


@dataclass(frozen=True, slots=True)
class Rules:
    """As the settings of the group have them."""

    gather_s: float
    full: int
    rounds: int
    gap_s: float
    answer_s: float = _ANSWER_S

    @classmethod
    def of(cls, group: Group) -> Rules:
        """Of a group."""
        return cls(group.gather_s, group.meters, group.rounds, group.gap_s)


@dataclass(slots=True, eq=False)
class Seat:
    """One meter's, in one room."""

    lacks: int
    """Its missing blocks, as it told them last: see `mask_of`."""
    since: int
    """Blocks that the room had sent when it came, or when the round began."""
    told: bool = True
    gained: int = 0
    """Blocks that it lacks no more."""


def mask_of(blocks: Iterable[int]) -> int:
    """Numbers of blocks as a number of which those bits are set."""
    octets = bytearray()
    for number in blocks:
        if number >> 3 >= len(octets):
            octets.extend(bytes((number >> 3) + 1 - len(octets)))
        octets[number >> 3] |= 1 << (number & 7)
    return int.from_bytes(octets, "little")


class Room:
    """For one image. `look` is to be called often, `block` while it sends."""

    def __init__(self, rules: Rules, now_ms: int) -> None:
        self._rules = rules
        self._seats: dict[Seat, None] = {}
        self._needed = 0
        """Blocks that two lack, as a mask."""
        self._until = now_ms + rules.gather_s * 1_000
        self._at = self._round = 0
        self.phase = Phase.GATHERING
        self.sent = 0
        """Blocks, in all rounds."""
        self.deaf = False
        """Whether nobody heard anything of what was sent."""

    @property
    def seats(self) -> tuple[Seat, ...]:
        """Who is in it, in the order in which they came."""
        return tuple(self._seats)

    def has(self, seat: Seat) -> bool:
        """Whether somebody is in it still."""
        return seat in self._seats

    def enter(self, lacks: int) -> Seat:
        """A meter that lacks these blocks, see `mask_of`. RuntimeError where the room is over."""
        if self.phase is Phase.OVER:
            raise RuntimeError("a seat in a room that is over")
        seat = Seat(lacks, self.sent)
        self._seats[seat] = None
        self._weigh()
        return seat

    def leave(self, seat: Seat) -> None:
        """It goes, for whatever reason; twice is once."""
        if seat in self._seats:
            del self._seats[seat]
            self._weigh()

    def wants(self, seat: Seat) -> Wants:
        """What a meter is to do now."""
        if seat not in self._seats or self.phase is Phase.OVER:
            return Wants.GO
        return Wants.TELL if self.phase is Phase.ASKING and not seat.told else Wants.WAIT

    def tell(self, seat: Seat, lacks: int) -> None:
        """What it lacks now."""
        if seat in self._seats:
            seat.gained = (seat.lacks & ~lacks).bit_count()
            seat.lacks, seat.told = lacks, True
            self._weigh()

    def offered(self, seat: Seat) -> int:
        """Blocks that were sent since it came, or since the round began."""
        return self.sent - seat.since

    def block(self) -> int | None:
        """The block that is to be sent next; None where none is."""
        if self.phase is not Phase.SENDING:
            return None
        ahead = self._needed >> self._at
        if not ahead:
            return None
        self._at += (ahead & -ahead).bit_length() - 1
        return self._at

    def went(self) -> None:
        """The block was sent."""
        self._at += 1
        self.sent += 1

    def end(self) -> None:
        """Everybody goes."""
        self.phase = Phase.OVER

    def look(self, now_ms: int, *, clear: bool) -> None:
        """What time brings. `clear`: no other image is on its way to meters that hear the group."""
        if self.phase is Phase.OVER:
            return
        if self.phase is Phase.GATHERING:
            if len(self._seats) >= self._rules.full or now_ms >= self._until:
                self._begin(clear=clear)
        elif len(self._seats) < 2 or not clear:
            self.end()
        elif self.phase is Phase.SENDING and self.block() is None:
            self.phase, self._until = Phase.SETTLING, now_ms + self._rules.gap_s * 1_000
        elif self.phase is Phase.SETTLING and now_ms >= self._until:
            self.phase, self._until = Phase.ASKING, now_ms + self._rules.answer_s * 1_000
            for seat in self._seats:
                seat.told, seat.gained = False, 0
        elif self.phase is Phase.ASKING and (now_ms >= self._until or all(seat.told for seat in self._seats)):
            self._judge(clear=clear)

    def _begin(self, *, clear: bool) -> None:
        """A round, where there is one to be sent."""
        if not clear or self._round >= self._rules.rounds or not self._needed:
            self.end()
            return
        for seat in self._seats:
            seat.since = self.sent
        self.phase, self._at, self._round = Phase.SENDING, 0, self._round + 1

    def _judge(self, *, clear: bool) -> None:
        """What a round brought."""
        tried = [seat for seat in self._seats if seat.told and self.offered(seat) >= _HEARD]
        if tried and self._round == 1:
            self.deaf = not any(seat.gained for seat in tried)
        for seat in self.seats:
            if not seat.told or not seat.lacks or (seat in tried and not seat.gained):
                self.leave(seat)
        self._begin(clear=clear)

    def _weigh(self) -> None:
        lacked = self._needed = 0
        for seat in self._seats:
            self._needed |= lacked & seat.lacks
            lacked |= seat.lacks
