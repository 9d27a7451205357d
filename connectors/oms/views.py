"""What is told of the world to whoever looks at one transformer, and of that transformer to its feeder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from connectors.oms.grouping import Gone
from streams.runtime.settings import Oms


class Wide(NamedTuple):
    """A transformer that is or was out, as its feeder sees it."""

    outage_id: str
    transformer: str
    began: int  # when the first alarm came in
    back: int | None  # when half of its meters were back
    over: bool
    affected: int
    out: int
    known: int
    first_time: int
    last_time: int
    life_support_out: tuple[str, ...]
    life_support: bool


class Around(NamedTuple):
    """What a bucket is told of the world."""

    now: int
    known: int  # premises below the transformer; 0 where nobody knows
    rules: Oms
    gone: Gone
    parents: Mapping[str, str]  # outage id to that of the feeder's
