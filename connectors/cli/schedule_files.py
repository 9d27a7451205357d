"""Schedules as people write them: YAML, with durations such as 3h; what is not known there is refused, not passed over."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from connectors.cli.failure import CommandError, usage
from schemas.records import Operation, Priority, Schedule, Target
from streams.schedules.rules import problems

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LARGEST = 1_000_000


def _seconds(value: Any) -> Any:
    """Seconds of a duration such as 90s, 15m, 3h or 2d; a plain number is seconds already."""
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,6})\s*([smhd])", value.strip())):
        return int(found[1]) * _UNITS[found[2]]
    if isinstance(value, str):
        raise ValueError("write a duration such as 90s, 15m, 3h or 2d")  # noqa: TRY004 - pydantic takes ValueError
    return value


Duration = Annotated[int, BeforeValidator(_seconds)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Target(_Strict):
    meters: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    transformers: tuple[str, ...] = ()
    feeders: tuple[str, ...] = ()


class _Schedule(_Strict):
    id: str
    description: str = ""
    cron: str
    time_zone: str
    target: _Target
    operation: Operation
    objects: tuple[str, ...] = ()
    parameters: dict[str, str] = {}
    priority: Priority = Priority.SCHEDULED
    window: Duration
    period: Duration = 0
    lookback: Duration = 0
    grace: Duration = 0
    enabled: bool = True


class _File(_Strict):
    schedules: list[_Schedule] = Field(min_length=1, max_length=1_000)


def read_schedules(path: Path) -> list[Schedule]:
    """The schedules of a file, in order. `CommandError` with every problem, each with its place and mend."""
    try:
        text = path.read_text()
        if len(text) > _LARGEST:
            raise usage(f"{path} has {len(text)} characters; {_LARGEST} are allowed", "split it")
        document = _File.model_validate(yaml.safe_load(text))
    except (OSError, UnicodeDecodeError) as error:
        raise usage(f"{path} cannot be read: {error}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise usage(f"{path} is no YAML: {str(error).splitlines()[0]}") from error
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False)]
        raise CommandError(f"{path}: " + "; ".join(lines), mend="`hes schedules example profile-15min` shows how") from error
    found = [_record(each) for each in document.schedules]
    wrong = [f"{each.id}: {problem}" for each in found for problem in problems(each)]
    names = [each.id for each in found]
    wrong += [f"{name}: stands twice" for name in sorted({name for name in names if names.count(name) > 1})]
    if wrong:
        raise CommandError(f"{path}: " + "; ".join(wrong))
    return found


def _record(given: _Schedule) -> Schedule:
    return Schedule(
        id=given.id,
        cron=given.cron,
        time_zone=given.time_zone,
        target=Target(**given.target.model_dump()),
        operation=given.operation,
        objects=given.objects,
        parameters=given.parameters,
        priority=given.priority,
        window_s=given.window,
        enabled=given.enabled,
        description=given.description,
        lookback_s=given.lookback,
        period_s=given.period,
        grace_s=given.grace,
    )
