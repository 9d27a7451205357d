"""Alarms from their octets: as the codec reads them, or left to the codec."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.oms.alarms import AlarmReader, Heard, walk_of
from connectors.oms.marks import Said
from schemas.codec import Codec, CodecError
from schemas.records import Alarm, AlarmKind, Severity
from schemas.registry import MemoryRegistry, avsc
from tests.unit.connectors.oms.world import T0, alarm

CODEC = Codec(MemoryRegistry())
READER = AlarmReader(CODEC)
MOST = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXT = st.text(st.characters(codec="utf-8"), max_size=70)
LONG = st.one_of(st.integers(0, 2 * T0), st.integers(-(1 << 63), (1 << 63) - 1))
ALARMS = st.builds(
    Alarm,
    **{
        field.name: {
            "str": TEXT,
            "bool": st.booleans(),
            "Millis": LONG,
            "AlarmKind": st.sampled_from(AlarmKind),
            "Severity": st.sampled_from(Severity),
        }[str(field.type)]
        for field in fields(Alarm)
    },
)


def of(said: Said) -> Heard:
    return Heard(*(getattr(said, name) for name in Heard._fields))


@MOST
@given(ALARMS)
def test_an_alarm_is_read_as_the_codec_reads_it(one: Alarm) -> None:
    assert of(READER.read(CODEC.encode(one))) == of(one)


@MOST
@given(ALARMS, st.data())
def test_octets_that_were_changed_are_what_the_codec_says_they_are(one: Alarm, data: st.DataObject) -> None:
    value = bytearray(CODEC.encode(one))
    for _ in range(data.draw(st.integers(1, 3))):
        value[data.draw(st.integers(5, len(value) - 1))] = data.draw(st.integers(0, 255))
    spoilt = bytes(value[: data.draw(st.integers(5, len(value)))])
    try:
        expected: Heard | str = of(CODEC.decode(spoilt))  # type: ignore[arg-type]  # it may be of this class only
    except CodecError as error:
        expected = error.code
    try:
        found: Heard | str = of(READER.read(spoilt))
    except CodecError as error:
        found = error.code
    assert found == expected


def test_most_alarms_need_no_codec() -> None:
    value = CODEC.encode(alarm("meter-1", 0, transformer="T1", feeder="F1", life_support=True, detail="a" * 63))
    assert isinstance(READER.read(value), Heard)
    assert isinstance(READER.read(CODEC.encode(alarm("m" * 64, 0))), Alarm)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "avro-framing"),
        (b"junk", "avro-framing"),
        (b"\0\0\0\0\x7fjunk", "avro-unknown-schema"),
        (CODEC.encode(alarm("m", 0))[:-1], "avro-body"),
        (CODEC.encode(alarm("m", 0)) + b"\0", "avro-body"),
        (CODEC.encode(alarm("m" * 201, 0)), "alarm-names"),
        (CODEC.encode(replace(alarm("m", 0), feeder="é" * 201)), "alarm-names"),
    ],
    ids=["none", "junk", "unknown schema", "cut off", "longer", "long meter", "long feeder"],
)
def test_what_is_no_alarm_is_named(value: bytes | None, code: str) -> None:
    with pytest.raises(CodecError) as caught:
        READER.read(value)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "field",
    [{"name": "id", "type": "double"}, {"name": "a b", "type": "string"}],
    ids=["a type that no alarm has", "no name"],
)
def test_a_schema_that_is_not_known_is_refused(field: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=field["name"]):
        walk_of(avsc("Alarm") | {"fields": [field]})
