"""Published lists whose telegrams name no object: the list's identifier and its length give the positions.

Also what a push setup sends when its body holds only its own name before the values (DSMR, SMR 5).
"""

from __future__ import annotations

from collections.abc import Mapping

from connectors.protocols.dlms.cosem import CLOCK
from connectors.protocols.dlms.template import Position

KAIFA = "KFM_001"


def _p(code: str, scaler: int | None = None, unit: str | None = None) -> Position:
    return Position(code, scaler=scaler, unit=unit)


def _kaifa() -> dict[tuple[str, int], tuple[Position, ...]]:
    """Kaifa's lists 1 to 3 for one and three phases, "KFM_001" (Norwegian HAN port, "Kaifa HAN OBIS codes").

    Currents are in mA and voltages in 0.1 V, as readers of it agree; the rest is in W, var, Wh and varh.
    """
    head = (_p("1.1.0.2.129.255"), _p("0.0.96.1.0.255"), _p("0.0.96.1.7.255"))
    powers = tuple(_p(f"1.0.{c}.7.0.255", 0, "W" if c < 3 else "var") for c in (1, 2, 3, 4))
    energies = tuple(_p(f"1.0.{c}.8.0.255", 0, "Wh" if c < 3 else "varh") for c in (1, 2, 3, 4))
    lists: dict[tuple[str, int], tuple[Position, ...]] = {("", 1): powers[:1]}
    for phases in ((0,), (0, 20, 40)):
        currents = tuple(_p(f"1.0.{31 + shift}.7.0.255", -3, "A") for shift in phases)
        voltages = tuple(_p(f"1.0.{32 + shift}.7.0.255", -1, "V") for shift in phases)
        second = head + powers + currents + voltages
        third = (*second, _p(CLOCK), *energies)
        lists |= {(KAIFA, len(second)): second, (KAIFA, len(third)): third}
    return lists


LISTS: Mapping[tuple[str, int], tuple[Position, ...]] = _kaifa()
"""(list identifier, number of elements) to positions. List 1 carries no identifier."""

ALARM_REGISTERS: Mapping[str, tuple[str, ...]] = {
    "0.1.25.9.0.255": ("0.0.97.98.0.255", "0.0.97.98.1.255"),
    "0.3.25.9.0.255": ("0.0.97.98.2.255",),
}
"""Push setup to the alarm registers that follow its name: on alarm, and the last gasp over UDP (DSMR P3, SMR 5)."""

STATUS_WORDS: Mapping[str, str] = {"0.4.25.9.0.255": "0.0.94.91.18.255"}
"""Push setup on alarm to the event status word that follows in Indian pushes (IS 15959), a bit-string where others have
numbers.
"""
