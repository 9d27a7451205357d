"""Event ids: the same statement has one id for ever, and no two statements share one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import Part, event_id

PARTS: st.SearchStrategy[Part] = st.recursive(
    st.one_of(st.none(), st.integers(), st.floats(allow_nan=False), st.text(st.characters(codec="utf-8")), st.binary()),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=6,
)

# Written down once: topics, tables and other systems hold ids of these forms, so they may never change.
KNOWN: list[tuple[str, tuple[Part, ...], str]] = [
    ("Alarm", (), "cada77cd06f601de0d103c12fe5c60d6"),
    ("Alarm", ("m1", 1_700_000_000_000, "7"), "731d411dcf93f62f60130d325e569ed8"),
    (
        "IntervalReadings",
        ("m1", "7/1.0.99.1.0.255/2", 0, 900, ((1, 2), (None, 1.5), "FF", b"\xff")),
        "b2bd198076c665f74f7578f123d78d57",
    ),
]


@pytest.mark.parametrize(("kind", "parts", "expected"), KNOWN, ids=["nothing", "scalars", "nested"])
def test_known_ids_stay(kind: str, parts: tuple[Part, ...], expected: str) -> None:
    assert event_id(kind, *parts) == expected


DIFFERENT: dict[str, tuple[Part, ...]] = {
    "nothing": (),
    "none": (None,),
    "two-nones": (None, None),
    "empty-text": ("",),
    "empty-bytes": (b"",),
    "empty-tuple": ((),),
    "text": ("ab", "c"),
    "text-cut-elsewhere": ("a", "bc"),
    "text-joined": ("abc",),
    "text-in-tuple": (("ab", "c"),),
    "text-half-in-tuple": (("ab",), "c"),
    "bytes": (b"ab", b"c"),
    "one": (1,),
    "one-float": (1.0,),
    "one-text": ("1",),
    "one-bytes": (b"1",),
    "minus-one": (-1,),
    "zero": (0,),
    "zero-float": (0.0,),
    "minus-zero-float": (-0.0,),
    "looks-like-encoding": ("s1:1",),
    "two-ones": (1, 1),
    "eleven": (11,),
}


def test_different_statements_differ() -> None:
    by_id: dict[str, list[str]] = {}
    for name, parts in DIFFERENT.items():
        by_id.setdefault(event_id("Alarm", *parts), []).append(name)
    assert [names for names in by_id.values() if len(names) > 1] == []


def test_kind_is_stated() -> None:
    assert event_id("Alarm", "a") != event_id("Meter", "a") != event_id("Alarm", "Meter", "a")


@given(parts=st.lists(PARTS, max_size=5))
def test_same_statement_same_id(parts: list[Part]) -> None:
    one = event_id("Alarm", *parts)
    assert one == event_id("Alarm", *parts)
    assert len(one) == 32
    assert set(one) <= set("0123456789abcdef")


@given(first=st.lists(PARTS, max_size=4), second=st.lists(PARTS, max_size=4))
def test_no_two_share_an_id(first: list[Part], second: list[Part]) -> None:
    assert (event_id("Alarm", *first) == event_id("Alarm", *second)) == (repr(first) == repr(second))
