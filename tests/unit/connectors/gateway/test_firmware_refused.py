"""What stops an image: a freeze, a meter that it is not for, one that will not have it, a job that nobody approved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from gurux_dlms.enums import DataType, ErrorCode

from connectors.gateway.drivers.dlms import DlmsDriver
from connectors.gateway.drivers.table import drivers_of
from schemas.records import Meter, Outcome
from streams.runtime.images import ImageError
from tests.unit.connectors.gateway.firmware_bench import a_bench, settle, through
from tests.unit.connectors.gateway.firmware_meters import (
    OLD,
    FakeImages,
    ImageMeter,
    firmware_job,
    manifest,
)
from tests.unit.connectors.protocols.dlms.gurux_meter import data

pytestmark = pytest.mark.usefixtures("no_threads")


@pytest.mark.parametrize("when", ["before", "between", "activation"])
async def test_a_freeze_stops_it_wherever_it_is(when: str) -> None:
    there = ImageMeter()
    bench, _, proving = a_bench(there)
    if when == "before":
        proving.refusal = "frozen"
    elif when == "between":
        there.image.refused = [ErrorCode.OK] * 8 + [ErrorCode.TEMPORARY_FAILURE] * 2
    else:
        verify = there.image.does[3]

        def frozen(value: Any) -> None:
            verify(value)
            proving.refusal = "frozen"

        there.image.does[3] = frozen
    bench.put(firmware_job())
    await settle(bench, 5)
    if when == "between":
        bench.clock.advance(31)
        proving.refusal = "frozen"
    await settle(bench, 60)
    assert [(result.outcome, result.code) for result in bench.results()] == [(Outcome.FAILED, "frozen")]
    assert (4 in there.methods, there.away) == (False, False)
    assert bool(there.blocks) is (when != "before")


@pytest.mark.parametrize(
    ("known", "changed", "parameters", "code"),
    [
        pytest.param({"model": "m2"}, {}, {}, "firmware-unfit", id="model"),
        pytest.param({"vendor": ""}, {}, {}, "firmware-unfit", id="vendor"),
        pytest.param({}, {"templates": ("idis",)}, {}, "firmware-unfit", id="template"),
        pytest.param({}, {"hardware": ("B",)}, {}, "firmware-unfit", id="hardware-that-nobody-reads"),
        pytest.param({}, {"to_version": "1.6"}, {}, "firmware-unfit", id="another-version-than-approved"),
        pytest.param({}, {}, {"wave": "1"}, "object-invalid", id="unknown-term"),
        pytest.param({}, {}, {"image": "0" * 64}, "image-missing", id="no-image"),
        pytest.param({}, {}, {"manifest": "0" * 64}, "image-invalid", id="another-manifest-than-approved"),
    ],
)
async def test_what_does_not_fit_is_refused_before_anyone_connects(
    known: dict[str, Any], changed: dict[str, Any], parameters: dict[str, str], code: str
) -> None:
    found = manifest(**changed)
    bench, _, _ = a_bench(ImageMeter(), images=FakeImages({found.id: found}), known=known)
    bench.put(firmware_job(parameters=parameters))
    await settle(bench, 60)
    assert bench.ended() == [("f1", Outcome.FAILED, code)]
    assert bench.network.connects == []


@pytest.mark.parametrize(("revision", "fits"), [("B", True), ("A", False), ("", False)])
async def test_an_image_goes_to_the_hardware_that_it_is_for(revision: str, fits: bool) -> None:
    meter, found = ImageMeter(), manifest(hardware=("B", "C"))
    meter.more = (data("1.0.0.2.1.255", revision.encode(), DataType.OCTET_STRING),)
    meter.peer = meter._peer()
    bench, _, _ = a_bench(meter, images=FakeImages({found.id: found}))
    generic = bench.driver._tools.templates["generic"]
    here = replace(generic, pull=replace(generic.pull, hardware="1.0.0.2.1.255"))
    tools = replace(bench.driver._tools, templates={**bench.driver._tools.templates, "generic": here})
    bench.driver = DlmsDriver(tools)
    bench.worker._tools = replace(bench.worker._tools, drivers=drivers_of((bench.driver,)))
    bench.put(firmware_job())
    await settle(bench, 30)
    assert bool(meter.methods) is fits
    assert [result.code for result in bench.results()] == ([] if fits else ["firmware-unfit"])
    learnt = [one.hardware for one in bench.publisher.records("hes.meters") if isinstance(one, Meter)]
    assert learnt == ([] if fits else [revision])  # what fits is told with the end of the job


@pytest.mark.parametrize(
    ("there", "changed", "parameters", "code"),
    [
        pytest.param("0.9", {"from_versions": (OLD,)}, {}, "firmware-unfit", id="from-another-version"),
        pytest.param("2.0", {}, {}, "firmware-unfit", id="downgrade"),
        pytest.param("2.0", {}, {"downgrade": "yes"}, "", id="downgrade-meant"),
        pytest.param("blue", {}, {}, "firmware-unfit", id="no-order"),
        pytest.param("blue", {}, {"from": "blue"}, "", id="no-order-and-named"),
        pytest.param("blue", {}, {"downgrade": "yes"}, "", id="no-order-and-meant"),
    ],
)
async def test_the_version_that_is_active_decides(
    there: str, changed: dict[str, Any], parameters: dict[str, str], code: str
) -> None:
    meter, found = ImageMeter(), manifest(**changed)
    meter.version.value = there.encode()
    bench, _, _ = a_bench(meter, images=FakeImages({found.id: found}))
    bench.put(firmware_job(parameters=parameters))
    if not code:
        await through(bench, meter)
    await settle(bench, 20)
    assert [result.code for result in bench.results()] == [code]
    assert bool(meter.methods) is (not code)


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        pytest.param({"spoil": True}, "firmware-refused", id="finds-it-wrong"),
        pytest.param({"refused": [ErrorCode.READ_WRITE_DENIED]}, "firmware-refused", id="takes-none"),
        pytest.param({"imageBlockSize": 0}, "firmware-refused", id="no-block-size"),
    ],
)
async def test_a_meter_that_will_not_have_it(settings: dict[str, Any], code: str) -> None:
    there = ImageMeter(**settings)
    bench, _, _ = a_bench(there)
    bench.put(firmware_job())
    await settle(bench, 60)
    assert bench.ended() == [("f1", Outcome.FAILED, code)]


@pytest.mark.parametrize(
    ("fails", "code"), [("image-missing", "image-missing"), ("image-invalid", "image-invalid")], ids=str
)
async def test_without_sound_octets_nothing_is_sent(fails: str, code: str) -> None:
    there = ImageMeter()
    bench, _, _ = a_bench(there, images=FakeImages(fails=ImageError(fails, "no")))
    bench.put(firmware_job())
    await settle(bench, 60)
    assert (bench.ended(), there.methods) == ([("f1", Outcome.FAILED, code)], [])


async def test_a_forged_job_reaches_no_meter() -> None:
    bench, _, proving = a_bench(ImageMeter())
    proving.refusal = "job-unproven"
    bench.put(firmware_job(request=b""))
    await settle(bench, 5)
    assert (bench.ended(), bench.network.connects) == ([("f1", Outcome.FAILED, "job-unproven")], [])
