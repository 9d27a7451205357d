"""What a person typed, as a request's signed parameters."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.cli.failure import CommandError
from connectors.cli.firmware.images import identifier_of, same_digest, stated
from connectors.cli.firmware.planning import Planned, busiest
from connectors.cli.firmware.wish import Wish, checked_terms, parameters_of, told
from schemas.records import FirmwareManifest, Network, Target
from schemas.signatures import digest
from streams.firmware.plan import Bound, Load, Plan
from streams.runtime.authority.terms import TERMS, terms_of

MANIFEST = FirmwareManifest(id="ab" * 32, to_version="2.1")
HOUR = 3_600_000
MIDNIGHT = 1_795_651_200_000  # 2026-11-26T00:00Z


def parameters(*settings: str, **terms: str) -> dict[str, str]:
    return parameters_of(Wish(groups=("north",), terms=terms, settings=settings), MANIFEST, b"the manifest")


def test_every_default_is_written_out_and_signed() -> None:
    found = parameters()
    assert found["image"] == "ab" * 32
    assert (found["version"], found["manifest"]) == ("2.1", digest(b"the manifest").hex())
    assert {name: found[name] for name, term in TERMS.items() if term.default} == {
        name: term.default for name, term in TERMS.items() if term.default
    }
    assert terms_of(found).version == "2.1"


@pytest.mark.parametrize(
    ("terms", "settings", "name", "value"),
    [
        ({"waves": "1%,5%,25%"}, (), "waves", "1%,5%,25%,100%"),
        ({"waves": "100%"}, (), "waves", "100%"),
        ({"canary": "50"}, (), "canary", "50"),
        ({}, ("share.nb_iot=5%",), "share.nb_iot", "5%"),
        ({}, ("retries = 9",), "retries", "9"),
        ({"soak": ""}, (), "soak", TERMS["soak"].default),
    ],
    ids=["last-wave-is-all", "one-wave", "option", "by-network", "set", "not-typed"],
)
def test_what_was_typed(terms: dict[str, str], settings: tuple[str, ...], name: str, value: str) -> None:
    assert parameters(*settings, **terms)[name] == value


@pytest.mark.parametrize(
    ("terms", "settings", "what"),
    [
        ({"canary": "many"}, (), "canary is 'many' and must be"),
        ({"waves": "25%,5%"}, (), "rising shares"),
        ({}, ("retries",), "says no value"),
        ({}, ("retrys=3",), "did you mean retries"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_signed(
    terms: dict[str, str], settings: tuple[str, ...], what: str
) -> None:
    with pytest.raises(CommandError, match=what) as error:
        parameters(*settings, **terms)
    assert error.value.exit_code == 2


def test_nobody_named_is_nobody() -> None:
    assert Wish(groups=("north",), feeders=("F1",)).target() == Target(groups=("north",), feeders=("F1",))
    with pytest.raises(CommandError, match="no meter is named"):
        Wish().target()


def test_terms_are_listed_without_what_the_image_says() -> None:
    names = [row["term"] for row in told()]
    assert "canary" in names
    assert "share.NETWORK" in names
    assert not {"image", "version", "manifest"} & set(names)


@pytest.mark.parametrize(("text", "octets"), [("E350-2.1", b"E350-2.1"), ("0x00ff", b"\0\xff"), ("", b"")])
def test_identifiers(text: str, octets: bytes) -> None:
    assert identifier_of(text) == octets
    with pytest.raises(CommandError, match="is no hex"):
        identifier_of("0x0g")


def test_a_digest_as_release_notes_write_it() -> None:
    wanted = stated(b"image").id
    for text in (wanted, wanted.upper(), f"sha256:{wanted}", f" {wanted}\n"):
        assert same_digest(b"image", text) == "SHA-256 as given"
    with pytest.raises(CommandError, match="not the one given"):
        same_digest(b"other", wanted)


def test_parts_of_a_large_image_and_of_one_by_url() -> None:
    assert (stated(bytes(1_200_000)).parts, stated(bytes(1_200_000)).part_size) == (3, 524_288)
    assert (stated(b"x", url="https://a/b").parts, stated(b"x", url="https://a/b").part_size) == (0, 0)


@pytest.mark.parametrize(
    ("windows", "hours"),
    [("00:00-04:00", [0, 1]), ("22:00-02:00", [22, 23, 0, 1]), ("22:00-02:00,03:00-04:00", [22, 23, 0, 1, 3])],
    ids=["a-night", "over-midnight", "in-two-parts"],
)
def test_the_busiest_night_is_told_by_hour(windows: str, hours: list[int]) -> None:
    """Three nights, of which the second carries most; one network, in two time zones that share an hour."""
    loads: list[Load] = []
    for night, octets in enumerate((10.0, 30.0, 20.0)):
        for hour in hours:
            at = MIDNIGHT + (night * 24 + (hour - 24 if hour > 12 else hour)) * HOUR
            loads += [Load(Network.NB_IOT, at, octets, 50.0), Load(Network.NB_IOT, at, octets / 2, 50.0)]
    nowhere = Bound(MIDNIGHT, 1.0, Network.NB_IOT, "S1")
    fields: dict[str, Any] = {"ends": (MIDNIGHT,) * 3, "load": tuple(loads), "curve": (), "segments": (), "simulated": True}
    made = Plan(begin=MIDNIGHT, meters=1, taking_part=1, left_out={}, bound=nowhere, **fields)
    given = parameters(windows=windows)
    found = busiest(Planned(MANIFEST, given, checked_terms(given), Target(), made, "UTC"))
    assert [row.hour for row in found] == hours
    assert {(row.octets, row.budget) for row in found} == {(45.0, 100.0)}
