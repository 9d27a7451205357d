"""The DLMS driver in a worker: short names, HDLC and its limits, event logs, profiles that are parsed together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from gurux_dlms.enums import Unit

from connectors.gateway.drivers import dlms_profiles
from connectors.protocols.dlms.profile import Profile
from connectors.protocols.dlms.template import AlarmSpec, AlarmTable, PullTemplate, PushTemplate, Template
from schemas.records import Alarm, AlarmKind, IntervalReadings, Operation, Outcome, RegisterReadings
from tests.unit.connectors.gateway.bench import PROFILE, WIDER, Bench, column, job, profile, registered, row
from tests.unit.connectors.gateway.meters import Network, ScriptedMeter
from tests.unit.connectors.gateway.test_bad_meters import Theirs
from tests.unit.connectors.protocols.dlms.gurux_meter import register as gurux_register
from tests.unit.connectors.protocols.dlms.objects.gurux_objects import ObjectMeter
from tests.unit.connectors.protocols.dlms.test_short_name_session import CLOCK, ENERGY, JDLMS, NAME

AARE_SHORT = bytes.fromhex("6129A109060760857405080102A203020100A305A103020100BE10040E0800065F1F040018032004B0FA00")
LOG = "7/0.0.99.98.0.255"


class ShortMeter(ScriptedMeter):
    """What jDLMS answered by short names."""

    def answer(self, apdu: bytes) -> bytes:
        if apdu[0] == 0x60:
            self.associations += 1
            return AARE_SHORT
        if apdu[0] == 0x62:
            return super().answer(apdu)
        self.asked.append(apdu.hex())
        return bytes.fromhex(JDLMS[apdu.hex()])


def with_template(bench: Bench, template: Template) -> Bench:
    bench.driver._tools = replace(bench.driver._tools, templates={template.name: template})
    return bench


@pytest.mark.parametrize(
    ("kind", "again"),
    [
        pytest.param({"vendor": "V", "model": "M", "firmware": "1"}, "m2", id="another-of-the-type"),
        pytest.param({}, "m1", id="the-same-meter"),
    ],
)
async def test_an_older_meter_is_read_by_short_names_which_are_asked_for_once(kind: dict[str, str], again: str) -> None:
    there = ShortMeter()
    meters = [registered(name, 4059, template="old", **kind) for name in ("m1", "m2")]
    bench = with_template(
        Bench(*meters, network=Network({4059: there})), Template("old", pull=PullTemplate(referencing="sn"))
    )
    bench.put(job(Operation.READ_REGISTERS, "a", objects=(str(ENERGY), str(NAME))))
    await bench.run(1)
    assert bench.ended() == [("a", Outcome.DONE, "")]
    assert [item.value for item in bench.readings()[0].registers] == [123456789, "HES00000042"]
    bench.put(job(Operation.READ_CLOCK, "b", again, objects=(str(CLOCK),)))
    await bench.run(3)
    assert bench.ended()[1:] == [("b", Outcome.DONE, "")]
    assert there.asked.count("050102fa08") == 1


@pytest.mark.parametrize(
    ("endpoint", "pull", "code"),
    [
        pytest.param("udp://10.0.0.7:4059", PullTemplate(transport="HDLC"), "endpoint-unsupported", id="on-udp"),
        pytest.param("tcp://10.0.0.7:4059", PullTemplate(transport="HDLC", hdlc_physical=300, hdlc_octets=2),
                     "template-contradictory", id="address-that-does-not-fit"),
    ],
)  # fmt: skip
async def test_hdlc_that_cannot_be(endpoint: str, pull: PullTemplate, code: str) -> None:
    bench = with_template(Bench(registered(endpoint=endpoint, template="bus")), Template("bus", pull=pull))
    bench.put(job(Operation.PING))
    await bench.run(1)
    assert bench.ended() == [("j1", Outcome.FAILED, code)]
    assert bench.network.connects == []


def a_log() -> dict[str, bytes]:
    """Two events: clock, code."""
    codes = (40, 99)
    rows = [row(n)[:-5].replace(b"\x02\x02", b"\x02\x02", 1) + b"\x11" + bytes((code,)) for n, code in enumerate(codes)]
    return {
        f"{LOG}/3": b"\x01\x02" + column(8, (0, 0, 1, 0, 0, 255)) + column(1, (0, 0, 96, 11, 0, 255)),
        f"{LOG}/4": b"\x06\0\0\0\0",
        f"{LOG}/5": b"\x16\x01",
        f"{LOG}/2": b"\x01" + bytes((len(rows),)) + b"".join(rows),
    }


async def test_an_event_log_is_alarms_with_their_meaning() -> None:
    tables = {"0.0.96.11.0.255": AlarmTable("standard", {40: AlarmSpec("TAMPER_COVER", "CRITICAL")})}
    template = Template("t", push=PushTemplate(events=tables), pull=PullTemplate(event_logs=("0.0.99.98.0.255",)))
    there = ScriptedMeter(a_log())
    bench = with_template(Bench(registered(template="t"), network=Network({4059: there})), template)
    for name in ("a", "b"):
        bench.put(job(Operation.READ_EVENT_LOG, name))
        await bench.run(3)
    alarms = [record for record in bench.publisher.records("hes.events.urgent") if isinstance(record, Alarm)]
    assert [(made.kind, made.code) for made in alarms[:2]] == [(AlarmKind.TAMPER_COVER, "40"), (AlarmKind.UNKNOWN, "99")]
    assert [made.id for made in alarms[2:]] == [made.id for made in alarms[:2]]
    assert (bench.results()[0].rows, bench.results()[0].events) == (2, tuple(made.id for made in alarms[:2]))
    assert there.asked.count(f"{LOG}/3") == 1


async def test_a_log_without_codes_is_rows() -> None:
    template = Template("t", pull=PullTemplate(event_logs=("1.0.99.1.0.255",)))
    bench = with_template(Bench(registered(template="t"), network=Network({4059: ScriptedMeter(profile())})), template)
    bench.put(job(Operation.READ_EVENT_LOG))
    await bench.run(1)
    (made,) = bench.readings()
    assert isinstance(made, IntervalReadings)


def several(**holds: dict[str, bytes]) -> Bench:
    """A bench with a meter for each."""
    there: dict[int, ScriptedMeter | Exception] = {n: ScriptedMeter(held) for n, held in enumerate(holds.values(), 1)}
    bench = Bench(*(registered(name, n) for n, name in enumerate(holds, 1)), network=Network(there))
    bench.put(*(job(Operation.READ_PROFILE, name, name) for name in holds))
    return bench


async def test_what_one_meter_sends_wrong_is_its_own_jobs_fault() -> None:
    broken = profile() | {f"{PROFILE}/2": profile()[f"{PROFILE}/2"][:-3]}
    bench = several(a=profile(), b=broken, c=profile())
    await bench.run(1)
    assert sorted(bench.ended()) == [
        ("a", Outcome.DONE, ""),
        ("b", Outcome.FAILED, "dlms-truncated"),
        ("c", Outcome.DONE, ""),
    ]
    assert {made.meter_id for made in bench.readings()} == {"a", "c"}


async def test_a_shape_that_turns_out_wrong_only_afterwards_is_asked_for_at_the_next_try() -> None:
    bench = several(a=profile())
    await bench.run(1)
    there = bench.network.meters[1]
    assert isinstance(there, ScriptedMeter)
    mixed = b"\x01\x04" + row(0) + WIDER[f"{PROFILE}/2"][2 + 23 :]  # only the first row fits what is known
    there.holds = WIDER | {f"{PROFILE}/2": mixed}
    bench.put(job(Operation.READ_PROFILE, "again", "a"))
    await bench.run(1)
    assert bench.ended()[1:] == []
    there.holds = WIDER
    await bench.run(10)
    assert bench.ended()[1:] == [("again", Outcome.DONE, "")]


async def test_a_bug_in_one_meters_rows_is_its_own_jobs_end(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = dlms_profiles.profile_readings

    def broken(found: Profile, shape: Any, order: Any) -> Any:
        if order.meter.id == "b":
            raise ZeroDivisionError
        return readings(found, shape, order)

    monkeypatch.setattr(dlms_profiles, "profile_readings", broken)
    bench = several(a=profile(), b=profile(), c=profile())
    await bench.run(1)
    assert sorted(bench.ended()) == [("a", Outcome.DONE, ""), ("b", Outcome.FAILED, "internal"), ("c", Outcome.DONE, "")]
    assert sorted(bench.offsets.finished) == ["a", "b", "c"]


def meters_with_lists(denied: tuple[str, ...] = ()) -> tuple[Bench, ObjectMeter]:
    """Two meters of gurux' of one type and firmware, and a third of another; all the same to talk to."""
    kind = {"vendor": "V", "model": "M"}
    meters = [
        registered(name, port, template="open", **kind, firmware=firmware)
        for name, port, firmware in (("m1", 1, "1"), ("m2", 2, "1"), ("m3", 3, "2"))
    ]
    names = ("1.0.1.8.0.255", "1.0.2.8.0.255", "1.0.3.8.0.255", "1.0.99.7.0.255")
    items = [gurux_register(name, 7, 1, Unit.ACTIVE_ENERGY) for name in names]
    there = ObjectMeter(items, modes=dict.fromkeys(denied, 0))
    network = Network({port: Theirs(exchange=there.exchange) for port in (1, 2, 3)})
    return with_template(Bench(*meters, network=network), Template("open", pull=PullTemplate())), there


async def test_what_a_pattern_means_is_asked_for_once_a_type_and_firmware() -> None:
    bench, there = meters_with_lists(denied=("1.0.2.8.0.255",))
    lists = 0
    for name, asked in (("m1", 1), ("m2", 1), ("m1", 1), ("m3", 2)):
        bench.put(job(Operation.READ_REGISTERS, f"j-{name}-{lists}", name, objects=("3/1.0.*.8.0.255/2",)))
        await bench.run(3)
        made = bench.readings()[-1]
        assert isinstance(made, RegisterReadings)
        assert (made.meter_id, [item.obis for item in made.registers]) == (name, ["1.0.1.8.0.255", "1.0.3.8.0.255"])
        lists = asked
        assert sum(1 for apdu in there.requests if bytes.fromhex("000F0000280000FF02") in apdu) == asked


@pytest.mark.parametrize(
    ("what", "code"),
    [
        pytest.param("3/9.*.8.0.255/2", "object-invalid", id="no-obis"),
        pytest.param("3/1.0.1*.8.0.255/2", "object-invalid", id="half-a-group"),
        pytest.param("3/7.0.*.8.0.255/2", "object-invalid", id="nothing-of-that-kind"),
    ],
)
async def test_patterns_that_mean_nothing(what: str, code: str) -> None:
    bench, _ = meters_with_lists()
    bench.put(job(Operation.READ_REGISTERS, "j", "m1", objects=(what,)))
    await bench.run(3)
    assert bench.ended() == [("j", Outcome.FAILED, code)]
