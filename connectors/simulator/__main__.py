"""`python -m connectors.simulator`: a fleet as a process of its own.

Prints one JSON line when ready and one, the summary, at the end; SIGTERM, SIGINT and `--duration` end it in good order.
Exit codes: 0 done, 1 a part of the simulator failed, 2 usage.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from connectors.simulator.config import Address, FleetConfig
from connectors.simulator.fleet import Fleet

HELP = {
    "c12_share": "meters of ANSI C12.22; the others are of DLMS",
    "seed": "decides everything: meters, consumption, happenings",
    "unconfirmed_share": "meters whose transport has no confirmation (HAN, M-Bus, UDP); 0 where losses are reconciled",
    "noise_share": "register pushes that come with bytes no head-end can accept",
}


def _time(text: str) -> int:
    """Milliseconds of an ISO 8601 time with offset, or of epoch milliseconds."""
    if text.isdigit():
        return int(text)
    moment = datetime.fromisoformat(text)
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m connectors.simulator", description="A fleet of DLMS and C12.22 meters on real sockets."
    )
    parser.add_argument("--home", type=Path, required=True, help="where meters.jsonl and truth.jsonl go")
    parser.add_argument(
        "--push-to", type=Address.parse, metavar="HOST:PORT", help="the gateway's TCP listener; without it nothing is pushed"
    )
    parser.add_argument(
        "--group", type=Address.parse, metavar="HOST:PORT", help="where image blocks for all meters at once are heard"
    )
    parser.add_argument("--udp-to", type=Address.parse, metavar="HOST:PORT", help="the gateway's UDP listener")
    parser.add_argument(
        "--c12-to",
        type=Address.parse,
        metavar="HOST:PORT",
        help="the gateway's C12.22 listener: registrations, notifications",
    )
    parser.add_argument(
        "--c12-udp-to",
        type=Address.parse,
        metavar="HOST:PORT",
        help="the same by datagrams: last gasps; else they go over TCP",
    )
    parser.add_argument(
        "--from", dest="window_from", type=_time, metavar="TIME", help="rows in truth.jsonl: first interval end"
    )
    parser.add_argument(
        "--to", dest="window_to", type=_time, metavar="TIME", help="rows in truth.jsonl: up to, not including"
    )
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="end by itself")
    parser.add_argument("--hold", action="store_true", help="push nothing before SIGUSR1: first import the shipment")
    special = {action.dest for action in parser._actions}  # noqa: SLF001 - argparse has no public list of its options
    for field in fields(FleetConfig):
        if field.name not in special:
            kind = {"int": int, "float": float}.get(str(field.type), str)
            option = "--" + field.name.removesuffix("_s").replace("_", "-")
            parser.add_argument(
                option, dest=field.name, type=kind, default=field.default, help=HELP.get(field.name, "default %(default)s")
            )
    return parser


async def _run(config: FleetConfig, duration: float | None, *, hold: bool) -> int:
    fleet = Fleet(config)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, fleet.push)
    await fleet.start(push=not hold)
    ready = {
        "ready": True,
        "meters": len(fleet.plans),
        "shipment": str(fleet.shipment),
        "truth": str(fleet.truth),
        "templates": str(fleet.templates),
        "window": list(fleet.window),
    }
    _print(ready)
    watcher = asyncio.create_task(fleet.failed())
    end = asyncio.create_task(ended.wait())
    await asyncio.wait({watcher, end}, timeout=duration, return_when=asyncio.FIRST_COMPLETED)
    broken = watcher.exception() if watcher.done() else None
    watcher.cancel()
    end.cancel()
    summary = await fleet.stop()
    if broken is not None:
        sys.stderr.write(f"the simulator failed: {broken!r}; this is a fault of its own, not of what it talks to\n")
    _print(summary)
    return 1 if broken else 0


def _print(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Usage errors end it with exit code 2 and a sentence."""
    parser = _parser()
    arguments = vars(parser.parse_args(argv))
    duration, hold = arguments.pop("duration"), arguments.pop("hold")
    try:
        config = FleetConfig(**arguments)
    except ValueError as error:
        parser.error(str(error))
    return uvloop.run(_run(config, duration, hold=hold))


if __name__ == "__main__":
    sys.exit(main())
