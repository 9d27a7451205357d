"""`hes run NAME`: one service, in the foreground."""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from typing import Annotated

import typer

from connectors.cli import context
from connectors.cli.failure import CommandError


class Service(StrEnum):
    """A service and its row in topology.yaml."""

    GATEWAY = "gateway"
    SPLIT = "split"
    CLICKHOUSE = "clickhouse"
    OMS = "oms"
    FRAUD = "fraud"
    SCHEDULES = "schedules"
    GAPS = "gaps"
    COMMANDS = "commands"
    FOLLOWUP = "followup"
    FIRMWARE = "firmware"


_MODULES = {
    Service.GATEWAY: "connectors.gateway.service",
    Service.SPLIT: "streams.split.service",
    Service.CLICKHOUSE: "connectors.clickhouse.service",
    Service.OMS: "connectors.oms.service",
    Service.FRAUD: "connectors.fraud.service",
    Service.SCHEDULES: "streams.schedules.service",
    Service.GAPS: "streams.gaps.service",
    Service.COMMANDS: "streams.commands.service",
    Service.FOLLOWUP: "streams.followup.service",
    Service.FIRMWARE: "streams.firmware.service",
}


def run(service: Annotated[Service, typer.Argument(help="which service")]) -> None:
    """Run one service in the foreground until Ctrl-C or SIGTERM. All settings come by environment or file (`hes doctor`)."""
    settings = context.settings()
    try:
        module = import_module(_MODULES[service])
    except ModuleNotFoundError as error:
        raise CommandError(
            f"{service} needs {error.name}, which is not installed", mend=f"install hes with the extra that {service} needs"
        ) from error
    raise typer.Exit(module.main(settings))


def register(app: typer.Typer) -> None:
    """Put the command on the tree."""
    app.command()(run)
