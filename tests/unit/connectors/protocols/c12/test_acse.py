"""The ACSE message: what the standard allows is read, in any order; what it does not is refused by name."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.c12 import acse, ber
from connectors.protocols.c12.acse import Apdu, Authentication, Unknown
from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.titles import C1222_CONTEXT, C1222_SECURITY, ApTitle, title

FULL = Apdu(
    called=title(".123.8437"),
    calling=title("1.3.6.1.4.1.33507.1919.7"),
    calling_invocation=0x13E81421,
    called_invocation=300,
    qualifier=acse.NOTIFICATION | acse.URGENT,
    information=b"\x80\x01\x20",
    authentication=Authentication(2, bytes.fromhex("48f3d061")),
    context=C1222_CONTEXT,
    mechanism=C1222_SECURITY,
)
PARTS = {
    "a1": "a1090607607c86f7540116",
    "a2": "a20580037bc175",
    "a4": "a4040202012c",
    "a6": "a60d060b2b060104018285638e7f07",
    "a7": "a703020106",
    "a8": "a806020413e81421",
    "8b": "8b09607c86f75401160201",
    "ac": "ac0fa20da00ba109800102810448f3d061",
    "be": "be0728058103800120",
}


def message(*parts: str) -> bytes:
    return ber.tlv(0x60, bytes.fromhex("".join(parts)))


def refused(octets: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        acse.decode(octets)
    return caught.value.code


def test_every_element() -> None:
    octets = message(*PARTS.values())
    assert acse.decode(octets) == FULL
    assert acse.encode(FULL) == octets


@pytest.mark.parametrize("seed", range(12))
def test_elements_may_stand_in_any_order(seed: int) -> None:
    names = list(PARTS)
    shuffled = names[seed % 9 :] + names[: seed % 9]
    shuffled = shuffled[::-1] if seed % 2 else shuffled
    assert acse.decode(message(*(PARTS[name] for name in shuffled))) == FULL


@pytest.mark.parametrize("order", list(permutations(("a6", "a7", "a8"))), ids=" ".join)
def test_the_qualifier_before_or_behind_the_ids(order: tuple[str, ...]) -> None:
    found = acse.decode(message(PARTS["a2"], *(PARTS[name] for name in order), PARTS["be"]))
    assert (found.calling, found.qualifier, found.calling_invocation) == (
        FULL.calling,
        FULL.qualifier,
        FULL.calling_invocation,
    )


@pytest.mark.parametrize("left_out", PARTS)
def test_every_element_is_optional_here(left_out: str) -> None:
    octets = message(*(part for name, part in PARTS.items() if name != left_out))
    assert acse.encode(acse.decode(octets)) == octets


def test_the_mechanism_may_stand_in_ab() -> None:
    explicit = message(PARTS["a8"], "ab0b0609607c86f75401160201", PARTS["be"])
    assert acse.decode(explicit).mechanism == C1222_SECURITY


def test_unknown_elements_are_kept() -> None:
    octets = message(PARTS["a8"], "89021234", "bf8101020500", PARTS["be"])
    found = acse.decode(octets)
    assert found.unknown == (Unknown(0x89, b"\x12\x34"), Unknown(0xBF8101, b"\x05\x00"))
    assert acse.encode(found) == octets


@pytest.mark.parametrize(
    ("value", "key_id", "iv", "form"),
    [
        ("ac0fa20da00ba109800102810448f3d061", 2, "48f3d061", "c1222"),
        ("ac0ca20aa008a106810448f3d061", None, "48f3d061", "c1222"),
        ("ac12a210020100a00ba109800102810448f3d061", 2, "48f3d061", "c1222"),
        ("ac09a207a005a003800109", 9, None, "c1221"),
        ("ac06a2048102abcd", None, None, "octets"),
    ],
    ids=["key id and IV", "IV alone: key 0", "indirect reference", "C12.21", "octets"],
)
def test_authentication_values(value: str, key_id: int | None, iv: str | None, form: str) -> None:
    found = acse.decode(message(PARTS["a8"], value, PARTS["be"])).authentication
    assert found is not None
    assert (found.form, found.iv) == (form, bytes.fromhex(iv) if iv else None)
    assert found.key_id == (key_id if form == "c1222" else None)
    if "020100" not in value:
        assert value in acse.encode(Apdu(calling_invocation=1, authentication=found)).hex()


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        (("a280",), "c1222-ber"),
        (("a285ffffffffff",), "c1222-ber"),
        (("bfffffffff01",), "c1222-ber"),
        (("a20580037bc1",), "c1222-truncated"),
        (("a2",), "c1222-truncated"),
        (("a282ff",), "c1222-truncated"),
        (("a8030201",), "c1222-truncated"),
        ((PARTS["a8"], PARTS["a8"]), "c1222-acse"),
        ((PARTS["8b"], "ab0b0609607c86f75401160201"), "c1222-acse"),
        (("a803040101",), "c1222-acse"),
        (("a8020200",), "c1222-acse"),
        (("a807020511ffffffff",), "c1222-acse"),
        (("a80602010102ff00",), "c1222-acse"),
        (("be03800120",), "c1222-acse"),
        (("be022800",), "c1222-acse"),
        (("be072805810380012081",), "c1222-truncated"),
        (("be0a28088103800120810120",), "c1222-acse"),
        (("a20580037bc1f5",), "c1222-title"),
        (("a203040101",), "c1222-title"),
        (("ac03a20105",), "c1222-truncated"),
        (("ac02a200",), "c1222-acse"),
        (("ac10a20ea00ca10a80020202810448f3d061",), "c1222-acse"),
        (("ac0ea20ca00aa108800102810348f3d0",), "c1222-acse"),
        (("8900" * 40,), "c1222-acse"),
    ],
    ids=[
        "indefinite length", "a length of five octets", "an endless tag", "a title cut", "a tag alone", "a length cut",
        "an integer cut", "twice", "twice in two forms", "another type", "an empty integer", "an integer too large",
        "two integers", "no EXTERNAL", "no octets", "octets behind", "two octet strings", "an open arc", "no title",
        "authentication cut", "no encoding", "a long key id", "a short IV", "too many elements",
    ],
)  # fmt: skip
def test_what_is_refused(parts: tuple[str, ...], code: str) -> None:
    assert refused(message(*parts)) == code


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        ("", "c1222-truncated"),
        ("60", "c1222-truncated"),
        ("6003a801", "c1222-truncated"),
        ("6080a803020101be07280581038001200000", "c1222-ber"),
        ("6105a803020101", "c1222-garbage"),
        ("6005a803020101ff", "c1222-acse"),
    ],
    ids=["nothing", "a tag", "cut", "indefinite", "another tag", "octets behind it"],
)
def test_messages_that_are_none(octets: str, code: str) -> None:
    assert refused(bytes.fromhex(octets)) == code


def test_an_indefinite_length_is_called_by_its_name() -> None:
    with pytest.raises(DecodeError, match="indefinite length"):
        acse.decode(bytes.fromhex("6080a8030201010000"))


def test_cut_anywhere_it_is_truncated() -> None:
    octets = message(*PARTS.values())
    assert {refused(octets[:size]) for size in range(len(octets))} == {"c1222-truncated"}


def test_lengths_longer_than_they_need_be_are_read() -> None:
    assert acse.decode(bytes.fromhex("60820006a88103020107")) == Apdu(calling_invocation=7)


TITLES = st.one_of(
    st.lists(st.integers(0, 2**32), max_size=6).map(lambda arcs: title("." + ".".join(map(str, arcs)))),
    st.lists(st.integers(0, 2**32), max_size=6).map(lambda arcs: title(".".join(map(str, (2, 16, *arcs))))),
)
IDS = st.none() | st.integers(0, 2**32 - 1)


def optional(strategy: st.SearchStrategy[ApTitle]) -> st.SearchStrategy[ApTitle | None]:
    return st.none() | strategy


@given(
    st.builds(
        Apdu,
        called=optional(TITLES),
        calling=optional(TITLES),
        calling_invocation=IDS,
        called_invocation=IDS,
        qualifier=st.none() | st.integers(0, 7),
        information=st.binary(max_size=300),
        authentication=st.none()
        | st.builds(Authentication, st.none() | st.integers(0, 255), st.none() | st.binary(min_size=4, max_size=4)),
        size=IDS,
        offset=IDS,
        unknown=st.lists(
            st.builds(Unknown, st.sampled_from([0x80, 0x89, 0xA9, 0xBF1F]), st.binary(max_size=9)), max_size=3
        ).map(tuple),
    )
)
def test_messages_round_trip(apdu: Apdu) -> None:
    assert acse.decode(acse.encode(apdu)) == apdu


@pytest.mark.parametrize(
    "content", ["", "2800", "8400", "28030201002a"], ids=["nothing", "empty", "another tag", "no octets"]
)
def test_where_no_epsem_stands(content: str) -> None:
    with pytest.raises(DecodeError):
        acse.information_at(ber.Element(0xBE, 0, bytes.fromhex(content), 2))


def test_where_the_epsem_stands() -> None:
    octets = message(*PARTS.values())
    element = acse.split(octets)[-1]
    assert octets[acse.information_at(element) :] == FULL.information
