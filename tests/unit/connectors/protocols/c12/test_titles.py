from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.titles import C1222_BASE, ApTitle, read, title

ARCS = st.lists(st.integers(0, 2**64), max_size=5)


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("1.3.6.1.4.1.33507", "06082b06010401828563"),
        ("2.16.124.113620.1.22.0", "0608607c86f754011600"),
        ("2.999.1", "0603883701"),
        (".123.8437", "80037bc175"),
        (".0", "800100"),
        (".", "8000"),
        ("", "0600"),
    ],
)
def test_text_and_octets(text: str, octets: str) -> None:
    found = title(text)
    assert found.encode().hex() == octets
    assert read(bytes.fromhex(octets), 0) == (found, len(octets) // 2)
    assert found.text == text.rstrip(".")


@given(st.integers(0, 2), st.integers(0, 39), ARCS)
def test_absolute_titles_round_trip(first: int, second: int, rest: list[int]) -> None:
    text = ".".join(map(str, (first, second, *rest)))
    assert title(text).text == text


@given(ARCS)
def test_relative_titles_round_trip(arcs: list[int]) -> None:
    text = "".join(f".{arc}" for arc in arcs)
    assert title(text or ".").text == text


def test_a_relative_title_is_absolute_under_its_base() -> None:
    assert title(".123.4").absolute(C1222_BASE) == title("2.16.124.113620.1.22.0.123.4")
    assert title("1.3.6").absolute(C1222_BASE) == title("1.3.6")


@pytest.mark.parametrize(
    "text",
    ["3.1", "1.40", "1", "1..3", "1.3.", "a.b", "1.-3", " 1.3", "1.3\n", "1.٣", "..1", "1." + "9" * 40,
     "2.1" + ".9" * 90],
)  # fmt: skip
def test_texts_that_are_no_title(text: str) -> None:
    with pytest.raises(DecodeError) as caught:
        title(text)
    assert caught.value.code == "c1222-title"


@pytest.mark.parametrize(
    "octets",
    ["0602802b", "06022b80", "060181", "06412b" + "01" * 64, "0411" + "ff" * 17, "0612" + "ff" * 17 + "01", "5f1f00"],
    ids=["padded arc", "padded arc inside", "open arc", "too long", "another tag", "a huge arc", "a long tag"],
)
def test_octets_that_are_no_title(octets: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(bytes.fromhex(octets), 0)
    assert caught.value.code == "c1222-title"


def test_0d_is_relative_too() -> None:
    found, end = read(bytes.fromhex("0d027b04ff"), 0)
    assert (found, found.relative, found.text, end) == (ApTitle(b"\x7b\x04", 0x0D), True, ".123.4", 4)
