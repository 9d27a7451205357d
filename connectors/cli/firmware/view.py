"""A campaign as it stands, looked at once or followed until it has ended."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rich.console import Console, RenderableType
from rich.live import Live

from connectors.cli.failure import CommandError
from connectors.cli.firmware.board import board
from connectors.cli.firmware.picture import campaign_picture
from connectors.cli.firmware.planning import Planned, fleet_of, planned_again
from connectors.cli.firmware.progress import BAD, Expected, Tally, expected, states_of, told
from connectors.cli.firmware.standing import ENDED, TOPIC, Standing, Standings, campaigns
from connectors.cli.output import Format, chosen, dumps, say, stderr
from connectors.cli.signing import now_ms
from connectors.cli.watching import Watch, encoded
from schemas.records import Campaign
from streams.runtime.settings import Settings

_EVERY_S = 1.0


class View:
    """A campaign, with what it is held against: its plan, and the networks of its meters."""

    def __init__(self, given: Settings, standing: Standing) -> None:
        self._given = given
        self._codec = encoded(given)
        self._name = standing.campaign.id
        self._standing = standing
        self._fleet = fleet_of(given)
        meters = standing.meters()
        networks = {meter: str(network) for meter, (network, _) in zip(meters, self._fleet.segments_of(meters), strict=True)}
        self._tally = Tally(networks)
        self._planned: Planned | None = None
        try:
            self._planned = planned_again(given, self._codec, standing, self._fleet)
        except CommandError as error:
            say(f"[yellow]note[/]: it cannot be held against its plan: {error}")

    def bad(self) -> bool:
        """Whether meters failed, or stay silent."""
        return any(states_of(self._standing)[state] for state in BAD)

    def show(self, format: Format | None) -> None:  # noqa: A002 - the option's name
        """Print it: one object, or what `watch` shows."""
        if chosen(format) is Format.JSON:
            print(dumps(told(self._standing, self._tally.of(self._standing), self._expected())))
        else:
            terminal = chosen(format) is Format.TABLE and sys.stdout.isatty()
            Console(highlight=False, width=None if terminal else 200).print(self._board())

    def follow(self, seconds: float | None, *, live: bool) -> Campaign:
        """Stay until it has ended, or the time is over; the campaign as it is then."""
        until = None if seconds is None else time.monotonic() + seconds
        with Watch(self._given, [TOPIC], self._codec) as feed:
            standings = campaigns(self._given, self._codec)
            self._standing = standings.one(self._name)
            if live and sys.stderr.isatty():
                with Live(self._board(), console=stderr, refresh_per_second=4, transient=True) as screen:
                    self._stay(feed, standings, until, screen)
            else:
                self._stay(feed, standings, until, None)
        return self._standing.campaign

    def draw(self, file: Path) -> None:
        """Write plan and progress as a chart; `CommandError` where there is no plan to hold it against."""
        if self._planned is None:
            raise CommandError("without its plan there is no chart", mend="add the image again, then draw")
        campaign_picture(self._planned, self._standing, now_ms(), file)

    def _stay(self, feed: Watch, standings: Standings, until: float | None, screen: Live | None) -> None:
        while self._standing.campaign.state not in ENDED:
            left = _EVERY_S if until is None else min(_EVERY_S, until - time.monotonic())
            if left <= 0:
                return
            for record, _ in feed.records(left):
                standings.take(record)
                if self._standing.campaign.state in ENDED:
                    break
            if screen is not None:
                screen.update(self._board())

    def _board(self) -> RenderableType:
        return board(self._standing, self._tally.of(self._standing), self._expected())

    def _expected(self) -> Expected:
        curve: list[tuple[int, float]] = []
        if self._planned is not None:
            made = self._planned.plan
            curve = [(made.begin, 0.0), *((point.at, point.p50) for point in made.curve)]
        return expected(self._standing, curve, now_ms())
