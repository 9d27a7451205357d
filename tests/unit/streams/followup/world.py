"""A street of meters, and alarms of them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from schemas.records import Alarm, AlarmKind, Job, Meter, MeterState, Network, Record
from streams.followup.core import Core, Output
from streams.followup.policy import Policy
from streams.followup.policy_file import load_policy, parse_policy
from streams.runtime.meters import MeterDirectory

NOW = 1_774_000_800_000
"""The beginning of an hour."""
MINUTE = 60_000
DEADLINE_MS = 90_000
STANDARD = load_policy()


def street(meters: int = 20, transformers: int = 2) -> MeterDirectory:
    """Meters m00, m01 … in turn below transformers T0, T1 …; the transformers hang on feeder F, the meters in segment S."""
    directory = MeterDirectory()
    for number in range(meters):
        name = f"m{number:02d}"
        directory.apply(
            name,
            Meter(
                id=name,
                feeder="F",
                transformer=f"T{number % transformers}",
                segment="S",
                network=Network.NB_IOT,
                state=MeterState.NORMAL,
            ),
        )
    return directory


def core(policy: Policy = STANDARD, directory: MeterDirectory | None = None) -> Core:
    return Core(policy, directory or street(), lambda _: DEADLINE_MS)


def policy(**budgets: int) -> Policy:
    """The standard policy with other budgets."""
    lines = "".join(f"  {area}: {budgets.get(area, 1_000)}\n" for area in ("all", "feeder", "transformer", "segment"))
    return parse_policy(_without_budgets() + "budgets:\n" + lines)


def alarm(meter_id: str = "m00", kind: AlarmKind = AlarmKind.TAMPER_COVER, at: int = NOW, **fields: Any) -> Alarm:
    whole: dict[str, Any] = {"id": f"{meter_id}/{kind}/{at}", "occurred_at": at, "received_at": at, "source": "push"}
    return Alarm(meter_id=meter_id, kind=kind, **(whole | fields))


def jobs(outputs: Iterable[Output]) -> list[Job]:
    return [record for _, _, record in outputs if isinstance(record, Job)]


def alarms(outputs: Iterable[Output]) -> list[Alarm]:
    found: list[Record] = [record for _, _, record in outputs]
    return [record for record in found if isinstance(record, Alarm)]


def _without_budgets() -> str:
    text = files("streams.followup").joinpath("standard.yaml").read_text(encoding="utf-8")
    return text[: text.index("budgets:")]
