"""A meter that costs next to nothing: it answers what gurux once answered, so that a reader's rate is not limited by it.

The first session that asks something new is answered by gurux and remembered; every later one that asks the same, in the
same order since its association, is a dictionary lookup. Clock and registers stand still at the moment they were learned.
`python -m connectors.simulator.replayer --port 0` serves any number of connections, all of them the same meter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import uvloop

from connectors.simulator.config import FleetConfig
from connectors.simulator.cosem import Cosem
from connectors.simulator.fleet import system_ms
from connectors.simulator.plan import MeterPlan, plan_fleet
from connectors.simulator.server import HEADER, LARGEST_REQUEST, MeterServer

AARQ, RLRQ = 0x60, 0x62
LONGEST_SESSION = 2000  # requests since the association
MOST_STATES = 100_000  # remembered in all; beyond it a new question ends the connection


@dataclass(slots=True, eq=False)
class State:
    """Where an association stands: what was asked since it began, and what the next questions led to."""

    asked: tuple[bytes, ...] = ()
    answers: dict[bytes, tuple[bytes, State]] = field(default_factory=dict)


class Script:
    """Everything one meter has been asked, with gurux's answers."""

    def __init__(self, cosem: Cosem) -> None:
        self.root = State()
        self.learned = 0
        self._cosem = cosem

    def answer(self, state: State, frame: bytes) -> tuple[bytes, State]:
        """The reply to a wrapper frame and the state after it. An association request begins anew; a release ends it."""
        if len(frame) > HEADER and frame[HEADER] == AARQ:
            state = self.root
        return state.answers.get(frame) or self._learn(state, frame)

    def _learn(self, state: State, frame: bytes) -> tuple[bytes, State]:
        """Ask gurux, brought to the same state by the same requests. Raises what gurux raises; LookupError when full."""
        if self.learned >= MOST_STATES or len(state.asked) >= LONGEST_SESSION:
            raise LookupError("the replayer has learned all it may")
        server = MeterServer(self._cosem)
        for earlier in state.asked:
            server.answer(earlier)
        reply = server.answer(frame)
        released = len(frame) > HEADER and frame[HEADER] == RLRQ
        found = (reply, self.root if released else State((*state.asked, frame)))
        state.answers[frame] = found
        self.learned += 1
        return found


class ReplayedConnection(asyncio.Protocol):
    """One connection to the meter of a script."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._state = script.root
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but inheritance

    def connection_lost(self, _exc: Exception | None) -> None:
        """Nothing more can be answered."""
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """Answer every whole frame; most often the data is exactly one."""
        self._buffer = self._buffer + data if self._buffer else bytes(data)
        while len(self._buffer) >= HEADER and self._transport is not None:
            end = HEADER + (self._buffer[6] << 8 | self._buffer[7])
            if self._buffer[:2] != b"\x00\x01" or end > LARGEST_REQUEST:
                self._transport.close()
                return
            if len(self._buffer) < end:
                return
            frame, self._buffer = self._buffer[:end], self._buffer[end:]
            try:
                reply, self._state = self._script.answer(self._state, frame)
            except Exception:  # noqa: BLE001 - gurux raises anything on a request it cannot read; a meter then hangs up
                self._transport.close()
                return
            if reply:
                self._transport.write(reply)


class Replayer:
    """Listeners that all are the same meter."""

    def __init__(self, plan: MeterPlan, profile_days: int = 10) -> None:
        self.plan = plan
        self.script = Script(Cosem(plan, system_ms, profile_days))
        self.ports: list[int] = []
        self._servers: list[asyncio.Server] = []

    async def start(self, host: str = "127.0.0.1", port: int = 0, listeners: int = 1) -> None:
        """Listen on `listeners` ports, consecutive from `port` unless that is 0. Raises OSError where one is taken."""
        for number in range(listeners):
            wanted = port + number if port else 0
            server = await asyncio.get_running_loop().create_server(
                lambda: ReplayedConnection(self.script), host, wanted, backlog=1024
            )
            self._servers.append(server)
            self.ports.append(int(server.sockets[0].getsockname()[1]))

    async def stop(self) -> None:
        """Close the listeners; connections end with their clients."""
        for server in self._servers:
            server.close()


async def _run(replayer: Replayer, port: int, listeners: int) -> int:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await replayer.start(port=port, listeners=listeners)
    plan = replayer.plan
    ready = {"ready": True, "ports": replayer.ports, "meter": plan.id, "model": plan.model.model, "password": plan.password}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    await ended.wait()
    await replayer.stop()
    sys.stdout.write(json.dumps({"learned": replayer.script.learned}) + "\n")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command: prints one JSON line when ready, with the (invented) password to read with."""
    parser = argparse.ArgumentParser(prog="python -m connectors.simulator.replayer", description="One meter, very fast.")
    parser.add_argument("--port", type=int, default=0, help="the first port; 0 picks free ones")
    parser.add_argument("--listeners", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--model", default="E450", help="which meter type of the fleet; default %(default)s")
    arguments = parser.parse_args(argv)
    fleet = plan_fleet(FleetConfig(Path(), meters=500, seed=arguments.seed, unconfirmed_share=0.3))
    plan = next((plan for plan in fleet if plan.model.model == arguments.model), None)
    if plan is None:
        parser.error(f"no meter type {arguments.model!r}; there are {sorted({plan.model.model for plan in fleet})}")
    return uvloop.run(_run(Replayer(plan), arguments.port, arguments.listeners))


if __name__ == "__main__":
    sys.exit(main())
