from __future__ import annotations

import pytest

from schemas.records import Alarm
from streams.runtime.tracing import child_of, header, headers_of


def test_headers_route_without_decoding() -> None:
    headers = dict(headers_of(Alarm(id="a1"), source="gateway", at_ms=1_700_000_000_000, replay_id="r1"))
    assert headers["ce_type"] == b"hes.Alarm"
    assert headers["ce_id"] == b"a1"
    assert headers["ce_time"] == b"2023-11-14T22:13:20.000Z"
    assert headers["replay-id"] == b"r1"


def test_a_fresh_record_bears_no_mark_of_a_replay() -> None:
    assert "replay-id" not in dict(headers_of(Alarm(), source="x", at_ms=0))


@pytest.mark.parametrize("parent", ["", "nonsense", "00-short-1-01"])
def test_a_trace_starts_where_there_is_no_parent(parent: str) -> None:
    version, trace, span, flags = child_of(parent).split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "00")


def test_a_trace_goes_on_under_a_new_span() -> None:
    first = child_of("")
    second = child_of(first)
    assert first.split("-")[1] == second.split("-")[1]
    assert first.split("-")[2] != second.split("-")[2]


@pytest.mark.parametrize("flags", ["00", "01"])
def test_whether_a_trace_is_sampled_goes_on_with_it(flags: str) -> None:
    assert child_of(f"00-{7:032x}-{8:016x}-{flags}").endswith(f"-{flags}")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (None, ""),
        ([], ""),
        ([("a", b"1"), ("a", b"2")], "2"),
        ([("a", None)], ""),
        ({"a": "x"}, "x"),
        ([("a", b"\xff")], "\ufffd"),
    ],
)
def test_a_header_is_read_whoever_gave_it(headers: object, expected: str) -> None:
    assert header(headers, "a") == expected  # type: ignore[arg-type]  # hostile shapes are the point
