"""Which meter templates say what a telegram does not: names for values by position, scalers and units."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from connectors.protocols.dlms.telegram import Telegram, TelegramError
from connectors.protocols.dlms.template import PushTemplate

_MOST = 4


class Hints:
    """What was missing in the telegrams seen, and the templates that would help."""

    def __init__(self) -> None:
        self._sizes: set[int] = set()
        self._setups: set[tuple[str, int]] = set()
        self._bare: set[str] = set()

    def see(self, telegram: Telegram | TelegramError) -> None:
        """Remember what this one leaves out."""
        if isinstance(telegram, TelegramError):
            self._sizes |= {len(telegram.unnamed)} if telegram.unnamed else set()
            return
        if telegram.layout == "push-setup" and any(isinstance(value, (int, float)) for value in telegram.unnamed):
            self._setups.add((telegram.source.split("/")[1], 1 + len(telegram.values) + len(telegram.unnamed)))
        numbers = (v for v in telegram.values if isinstance(v.raw, (int, float)) and v.attribute == 2)
        self._bare |= {value.obis for value in numbers if value.unit is None and _measured(value.obis)}

    def lines(self, templates: Callable[[], Mapping[str, PushTemplate]], *, units: bool) -> Iterator[str]:
        """A sentence for each kind of thing that some template says; of `units` where a person is reading."""
        if self._sizes or self._setups or (units and self._bare):
            yield from self._said(templates(), units=units)

    def _said(self, templates: Mapping[str, PushTemplate], *, units: bool) -> Iterator[str]:
        for size in sorted(self._sizes):
            if names := [name for name, push in templates.items() if _has_positions(push, size)]:
                yield f"for a body of {size} values without names there is: --template {' or '.join(sorted(names)[:_MOST])}"
        for setup, size in sorted(self._setups):
            if names := [name for name, push in templates.items() if len(push.objects.get(setup, ())) == size]:
                which = " or ".join(sorted(names)[:_MOST])
                yield f"for the values that {setup} leaves without names there is: --template {which}"
        known = {name: len(self._bare & push.units.keys()) for name, push in templates.items()}
        best = max(known.values(), default=0)
        if units and self._bare and best * 2 >= len(self._bare):
            names = sorted(name for name, count in known.items() if count == best)[:_MOST]
            yield f"the telegram gives {len(self._bare)} values no scaler or unit: --template {' or '.join(names)} does"


def _measured(code: str) -> bool:
    """Whether an OBIS code is of an electrical quantity that has a unit: instantaneous values, and energies."""
    groups = code.split(".")
    return groups[0] == "1" and groups[3] in ("7", "8") and groups[2] not in ("0", "13")


def _has_positions(push: PushTemplate, size: int) -> bool:
    return len(push.objects.get("*", ())) == size or any(length == size for _, length in push.lists)
