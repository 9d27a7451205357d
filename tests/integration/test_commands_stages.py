"""kill -9, and SIGSTOP for longer than the session timeout, of the service of commands at every stage of a disconnection:
whoever comes after it goes on, whoever was paused writes nothing more, the relay moves at most once, also when somebody
reconnects in between, and everything that is said of it is said once.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from schemas.records import CommandLedger, Operation
from tests.integration.commands_scene import WAY, CommandsProcess, S, Scene
from tests.integration.gateway_bench import open_cluster
from tests.integration.relay_meters import RelayMeter
from tests.integration.staged_commands import JOB_WRITTEN, REQUEST, STAGES

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

STAGED = "tests.integration.staged_commands"
KILL, STOP = signal.SIGKILL, signal.SIGSTOP


@pytest.fixture(scope="module")
def scene(kafka: str, registry_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(open_cluster(kafka, registry_url), tmp_path_factory.mktemp("scene"))
    yield made
    made.close()


class Case:
    """One disconnection, and who has the commands while it goes on."""

    def __init__(self, scene: Scene, stage: str, number: signal.Signals, stack: ExitStack) -> None:
        self.scene, self.stage, self.number = scene, stage, number
        self.name, self.meter = scene.meter()
        stack.callback(self.meter.close)
        self.first = scene.commands("one", STAGED)
        # Whoever comes after a kill is the same member, and need not wait until the one before is given up.
        self.second = scene.commands("one" if number is KILL else "two")
        stack.callback(self.first.kill)
        stack.callback(self.second.kill)
        self.first.armed(stage, number)
        self.leads: CommandsProcess = self.first

    def go(self, *, by_hand: bool) -> str:
        """Ask, decide, have it done; the command's id. The first service comes to its stage on the way."""
        scene, rig = self.scene, self.scene.rig
        self.first.start()
        command, value = scene.ask(self.name)
        if self.stage in REQUEST:
            self._take_over()
        rig.state(command, S.AWAITING_APPROVAL)
        scene.decide(command, value)
        if self.leads is self.first:
            self._take_over(by_hand=by_hand)
        rig.state(command, S.DONE)
        return command

    def _take_over(self, *, by_hand: bool = False) -> None:
        self.first.stopped()
        if by_hand:
            self.scene.rig.until("the relay", lambda: self.meter.moves)
            self.meter.by_hand(1)
        self.second.start()
        self.leads = self.second

    def reconnect(self) -> None:
        command, _ = self.scene.ask(self.name, Operation.RECONNECT)
        self.scene.rig.state(command, S.DONE)

    def wake(self) -> None:
        """Whoever was paused goes on: with what it was writing, until it learns that another leads."""
        seen = len(self.first.log)
        self.first.signal(signal.SIGCONT)
        told = ("books-closed", "gives-way")
        self.scene.rig.until(
            "the end of the first", lambda: any(line.get("event") in told for line in self.first.log[seen:])
        )

    def check(self, command: str, moves: list[int]) -> None:
        scene = self.scene
        entries = scene.chain()
        assert moves == self.meter.moves
        assert tuple(ack.state for ack in scene.rig.acks(command)) == WAY
        assert len(scene.rig.jobs(command)) == 1
        assert tuple(entry.action for entry in entries if entry.subject == command) == tuple(
            f"command-{state.lower().replace('_', '-')}" for state in WAY
        )
        ledgers = [ledger.sequence for ledger in scene.rig.records("hes.command-states", CommandLedger)]
        assert ledgers == sorted(ledgers)


def disconnect(scene: Scene, stage: str, number: signal.Signals, *, reconnected: bool = False) -> None:
    with ExitStack() as stack:
        case = Case(scene, stage, number, stack)
        command = case.go(by_hand=reconnected and number is KILL)
        moves = [0]
        if number is STOP:
            if reconnected:
                case.reconnect()
                moves.append(1)
            case.wake()
        # Whoever leads now still works, and the meter is left alone by whoever led before.
        ping, _ = scene.ask(case.name, Operation.PING)
        scene.rig.state(ping, S.DONE)
        case.check(command, moves)
        meter: RelayMeter = case.meter
        assert meter.state == (1 if reconnected else 0)


def test_killed_while_it_writes_the_job(scene: Scene) -> None:
    disconnect(scene, "decision-half-written", KILL)


def test_paused_while_it_writes_the_job_and_somebody_reconnects(scene: Scene) -> None:
    disconnect(scene, "decision-half-written", STOP, reconnected=True)


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("number", [KILL, STOP], ids=["SIGKILL", "SIGSTOP"])
def test_at_every_stage(scene: Scene, number: signal.Signals, stage: str) -> None:
    disconnect(scene, stage, number)


@pytest.mark.long
@pytest.mark.parametrize("stage", JOB_WRITTEN)
def test_somebody_reconnects_by_hand_while_it_is_dead(scene: Scene, stage: str) -> None:
    disconnect(scene, stage, KILL, reconnected=True)


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_somebody_reconnects_by_a_command_while_it_is_paused(scene: Scene, stage: str) -> None:
    disconnect(scene, stage, STOP, reconnected=True)
