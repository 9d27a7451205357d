"""Messages that come twice: a window over (calling title, key id) of IV and invocation id; in memory, bounded.

A message is let in once. What falls out of a window raises its floor where IVs rise, as times do: nothing below that is
let in. Only messages whose MAC verified are shown to it, so nobody can fill it who has no key.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.protocols.c12.c1222_security import Opened
from connectors.protocols.c12.errors import CipherError
from connectors.protocols.c12.titles import C1222_BASE, ApTitle

Sender = tuple[str, int]
"""Absolute calling title and key id."""


@dataclass(slots=True)
class _Window:
    seen: OrderedDict[tuple[int, int | None], None] = field(default_factory=OrderedDict)
    floor: int = -1


class Replays:
    """Windows of many senders, the one unheard of longest forgotten first.

    `ordered`: IVs of a sender rise, give or take the window; False for meters whose IVs are random.
    """

    def __init__(
        self, *, window: int = 256, senders: int = 100_000, ordered: bool = True, base: ApTitle = C1222_BASE
    ) -> None:
        self._window, self._senders, self._ordered, self._base = window, senders, ordered, base
        self._windows: OrderedDict[Sender, _Window] = OrderedDict()

    def check(self, opened: Opened) -> None:
        """Let a secured message in, once. Raises CipherError "c1222-replay". Messages in clear pass: they prove nothing."""
        if opened.key_id is None:
            return
        calling = opened.apdu.calling
        title = "" if calling is None else calling.absolute(self._base).text
        if opened.iv is None:
            detail = f"a secured message of {title or 'nobody'} without an IV: nothing tells it from an older one"
            raise CipherError("c1222-replay", detail, title)
        iv, invocation = int.from_bytes(opened.iv, "big"), opened.apdu.calling_invocation
        window = self._of((title, opened.key_id))
        if (iv, invocation) in window.seen or (self._ordered and iv <= window.floor):
            why = "was seen before" if (iv, invocation) in window.seen else "is older than the window"
            detail = f"a message of {title} with IV {iv:08X}, invocation {invocation}, {why}"
            raise CipherError("c1222-replay", f"{detail}: it was played again, or the meter's clock went back", title)
        window.seen[iv, invocation] = None
        if len(window.seen) > self._window:
            self._forget(window)

    def marks(self) -> Mapping[Sender, int]:
        """The highest IV of each sender: what to keep over a restart."""
        return {sender: max([window.floor, *(iv for iv, _ in window.seen)]) for sender, window in self._windows.items()}

    def restore(self, marks: Mapping[Sender, int]) -> None:
        """Let nothing in that is not above these, where IVs rise."""
        for sender, mark in marks.items():
            window = self._of(sender)
            window.floor = max(window.floor, mark)

    def _of(self, sender: Sender) -> _Window:
        window = self._windows.setdefault(sender, _Window())
        self._windows.move_to_end(sender)
        if len(self._windows) > self._senders:
            self._windows.popitem(last=False)
        return window

    def _forget(self, window: _Window) -> None:
        if not self._ordered:
            window.seen.popitem(last=False)
            return
        lowest = min(window.seen, key=lambda pair: pair[0])
        window.floor = max(window.floor, lowest[0])
        for pair in [pair for pair in window.seen if pair[0] <= window.floor]:
            del window.seen[pair]
