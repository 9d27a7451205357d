"""An import beside what is known: what a meter told of itself stays, and keys on their way to it do too."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from connectors.cli.registering import Kept, changing, merged, merged_all
from connectors.cli.shipment import Row
from connectors.protocols.dlms.meter_keys import MeterKeys
from connectors.protocols.dlms.objects.security_setup import KeyState
from schemas.records import Meter

NOW = 1_800_000_000_000
TOLD = Meter(id="m1", vendor="Acme", firmware="2.0", hardware="B", firmware_at=NOW - 1_000, updated_at=NOW - 1_000)
HELD = MeterKeys(ek=bytes(16), ak=bytes(16), meter="m1")


@pytest.mark.parametrize(
    ("given", "known", "firmware", "hardware", "says"),
    [
        pytest.param({"firmware": "1.0"}, None, "1.0", "", "", id="new"),
        pytest.param({"firmware": "1.0"}, replace(TOLD, firmware_at=0), "1.0", "", "", id="stated-by-a-file-before"),
        pytest.param(
            {"firmware": "1.0", "hardware": "B"}, TOLD, "2.0", "B", "firmware '2.0' and not '1.0'", id="older-file"
        ),
        pytest.param({"firmware": "2.0"}, TOLD, "2.0", "B", "", id="the-same"),
        pytest.param({}, TOLD, "2.0", "B", "", id="says-nothing"),
        pytest.param({"hardware": "C"}, TOLD, "2.0", "B", "hardware 'B' and not 'C'", id="other-hardware"),
        pytest.param({"hardware": "C"}, replace(TOLD, hardware=""), "2.0", "C", "", id="hardware-that-nobody-read"),
    ],
)
def test_what_a_meter_told_stays(
    given: dict[str, str], known: Meter | None, firmware: str, hardware: str, says: str
) -> None:
    meter, kept = merged(Meter(id="m1", segment="s1", **given), known, NOW)  # type: ignore[arg-type]  # text fields only
    assert (meter.firmware, meter.hardware, meter.segment, meter.updated_at) == (firmware, hardware, "s1", NOW)
    assert meter.firmware_at == (0 if known is None else known.firmware_at)
    assert (kept is None) is (says == "")
    assert kept is None or says in kept.detail


def test_of_many_each_that_keeps_something_is_told() -> None:
    said: list[Kept] = []
    rows = [Row(n, Meter(id=f"m{n}", firmware="1.0"), None) for n in (1, 2)]
    found = merged_all(rows, {"m1": TOLD}, NOW, said.append)
    assert [(meter.id, meter.firmware) for meter in found] == [("m1", "2.0"), ("m2", "1.0")]
    assert [kept.meter_id for kept in said] == ["m1"]


@dataclass(frozen=True)
class Changing:
    state: KeyState


@dataclass
class Store:
    change: Changing | None

    def get(self, ref: str) -> MeterKeys | None:
        return HELD if ref == "m1" else None

    def pending(self, _ref: str) -> Changing | None:
        return self.change

    def kept(self, _ref: str, keys: MeterKeys) -> tuple[str, ...]:
        return keys.given


@pytest.mark.parametrize(
    ("state", "keys", "refused"),
    [
        pytest.param(None, MeterKeys(ek=bytes(15) + b"1"), False, id="no-change"),
        *(pytest.param(state, MeterKeys(ek=bytes(15) + b"1"), True, id=state.value)
          for state in (KeyState.PENDING, KeyState.SENT, KeyState.WRITTEN, KeyState.RECOVERED)),
        pytest.param(KeyState.LOST, MeterKeys(ek=bytes(15) + b"1"), False, id="lost-so-somebody-says-which"),
        pytest.param(KeyState.SENT, MeterKeys(ek=bytes(16), meter="m1"), False, id="the-keys-that-hold"),
        pytest.param(KeyState.SENT, None, False, id="no-keys"),
    ],
)  # fmt: skip
def test_keys_that_are_being_changed_are_not_written_over(
    state: KeyState | None, keys: MeterKeys | None, refused: bool
) -> None:
    row = Row(2, Meter(id="m1", key_ref="m1"), keys)
    found = changing([row], Store(None if state is None else Changing(state)))
    assert list(found) == ([0] if refused else [])
    assert all(why.startswith("keys-changing: ") and "00" not in why for why in found.values())
    assert changing([row], None) == {}
