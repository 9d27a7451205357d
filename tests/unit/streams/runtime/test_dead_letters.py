from __future__ import annotations

import pytest

from schemas.records import DeadLetter
from streams.runtime.errors import TooManyDeadLettersError
from tests.unit.streams.fakes import fake_message, fake_runtime


def test_a_socket_s_bytes_keep_code_endpoint_and_themselves() -> None:
    runtime, publisher, clock = fake_runtime("gateway")
    runtime.dead_letters.put("frame-checksum", "FCS 1 is not 2", b"\x7e\x00", endpoint="tcp://10.0.0.1:4711")
    (letter,) = publisher.records("hes.dead-letters")
    assert isinstance(letter, DeadLetter)
    assert (letter.code, letter.data, letter.endpoint, letter.at) == (
        "frame-checksum",
        b"\x7e\x00",
        "tcp://10.0.0.1:4711",
        clock.now_ms(),
    )


def test_the_same_bytes_again_are_the_same_dead_letter_whatever_the_port_and_time() -> None:
    runtime, _, clock = fake_runtime()
    first = runtime.dead_letters.put("c", "d", b"x", endpoint="tcp://10.0.0.1:1")
    clock.advance(10)
    assert runtime.dead_letters.put("c", "d", b"x", endpoint="tcp://10.0.0.1:2") == first
    assert runtime.dead_letters.put("c", "d", b"y", endpoint="tcp://10.0.0.1:2") != first


def test_a_record_keeps_where_it_stood_and_its_headers() -> None:
    runtime, publisher, _ = fake_runtime("split")
    runtime.dead_letters.put_message("avro-framing", "?", fake_message(b"junk", at=41, pairs=[("a", b"1")]))
    (letter,) = publisher.records()
    assert isinstance(letter, DeadLetter)
    assert (letter.topic, letter.partition, letter.offset, letter.key, letter.data) == ("hes.alarms", 0, 41, b"m1", b"junk")
    assert letter.headers == {"a": b"1"}


@pytest.mark.parametrize(
    ("passed", "failed", "ends"),
    [
        pytest.param(0, 1_000, False, id="at-the-minimum"),
        pytest.param(0, 1_001, True, id="everything-fails"),
        pytest.param(2_000, 1_999, False, id="under-the-share"),
        pytest.param(1_000, 1_001, True, id="over-the-share"),
    ],
)
def test_a_bad_deploy_ends_the_service(passed: int, failed: int, ends: bool) -> None:
    runtime, publisher, _ = fake_runtime()
    runtime.dead_letters.passed(passed)

    def fail() -> None:
        for number in range(failed):
            runtime.dead_letters.put("c", "d", b"%d" % number)

    if ends:
        with pytest.raises(TooManyDeadLettersError, match="roll back"):
            fail()
    else:
        fail()
    assert len(publisher.sent) == failed  # the one that ends the service is written too


def test_old_failures_are_forgotten() -> None:
    runtime, _, clock = fake_runtime()
    for number in range(1_000):
        runtime.dead_letters.put("c", "d", b"%d" % number)
    clock.advance(61)
    runtime.dead_letters.put("c", "d", b"one more")


def test_a_record_as_large_as_kafka_takes_becomes_a_letter_that_it_takes_too() -> None:
    runtime, publisher, _ = fake_runtime("split")
    value = bytes(1_040_000)
    runtime.dead_letters.put_message("avro-framing", "?", fake_message(value, at=41, pairs=[("a", b"1")]))
    (letter,) = publisher.records()
    assert isinstance(letter, DeadLetter)
    assert (len(letter.data), letter.headers, letter.offset) == (900_000, {}, 41)
    assert letter.cut
    assert "1,040,000" in letter.detail
    assert len(runtime.codec.encode(letter)) < 1_000_000
