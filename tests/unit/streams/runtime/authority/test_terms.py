"""The terms of a campaign: what stands where nothing is said, and what is wrong, with its name and the mend."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Operation
from streams.runtime.authority.requests import fault_in
from streams.runtime.authority.terms import BY_NETWORK, TERMS, Canary, Window, fault_in_terms, terms_of
from tests.unit.streams.runtime.authority.builders import request

LEAST = {"image": "ab" * 32, "version": "2.0"}


def test_what_holds_where_nothing_is_said() -> None:
    found = terms_of(LEAST)
    assert found.canary == Canary(share=0.001)
    assert list(found.waves) == [0.01, 0.1, 1.0]
    assert found.windows == (Window(0, 240),)
    assert (found.loss, found.silent, found.confidence) == (0.03, 0.01, 0.99)
    assert found.installs
    assert not found.downgrade
    assert found.activate_at is None


@pytest.mark.parametrize(("canary", "sizes"), [("20", [5, 20, 20]), ("0.1%", [5, 50, 500]), ("50%", [5, 50, 250_000])])
def test_the_size_of_a_canary(canary: str, sizes: list[int]) -> None:
    found = terms_of(LEAST | {"canary": canary}).canary
    assert [found.size(meters) for meters in (5, 100, 500_000)] == sizes


def test_what_may_be_said() -> None:
    found = terms_of(
        LEAST
        | {
            "activate": "2026-03-01T02:00:00+01:00",
            "canary": "group:pilot",
            "windows": "22:00-04:00, 12:00-13:30",
            "share.nb_iot": "5%",
            "concurrent.plc_prime": "2",
            "from": "1.0, 1.1",
            "soak": "90m",
        }
    )
    assert found.activate_at == 1_772_326_800_000
    assert found.canary == Canary(group="pilot")
    assert found.windows == (Window(720, 810), Window(1_320, 240))
    assert (found.shares, found.concurrent) == ({"nb_iot": 0.05}, {"plc_prime": 2})
    assert (found.from_versions, found.soak_ms) == (("1.0", "1.1"), 5_400_000)


WRONG = {
    "misspelt": ({"windoes": "1"}, "knows no parameter 'windoes'; did you mean windows?"),
    "unknown": ({"zzz": "1"}, "knows no parameter 'zzz'; remove it"),
    "broadcast": ({"broadcast.plc_prime": "yes"}, "segment's setting (firmware.groups), not the campaign's: remove it"),
    "no digest": ({"image": "AB" * 32}, "parameter image is"),
    "no image": ({"image": ""}, "the parameter image is missing"),
    "no version": ({"version": " "}, "parameter version is"),
    "no time": ({"soak": "soon"}, "must be a time such as"),
    "no activation": ({"activate": "tomorrow"}, "must be now, verified, or a time with its offset"),
    "an activation without its offset": ({"activate": "2026-03-01T02:00:00"}, "with its offset"),
    "neither yes nor no": ({"downgrade": "true"}, "must be yes or no"),
    "above all": ({"failures": "101%"}, "must be a share"),
    "nothing": ({"silent": "0%"}, "must be a share above 0%"),
    "a number": ({"silent": "0.01"}, "must be a share"),
    "too sure": ({"confidence": "100%"}, "must be from 80% to 99.99%"),
    "waves that fall": ({"waves": "10%,5%,100%"}, "rising shares that end with 100%"),
    "waves without an end": ({"waves": "10%,50%"}, "rising shares that end with 100%"),
    "windows that overlap": ({"windows": "22:00-04:00,03:00-05:00"}, "that do not overlap"),
    "a window of no length": ({"windows": "04:00-04:00"}, "begin before they end"),
    "no window": ({"windows": "25:00-26:00"}, "spans of local time"),
    "no network": ({"share.wifi": "1%"}, "names no network"),
    "no canary": ({"canary": "group:"}, "must be a number of meters, a share such as 0.1%, or group:NAME"),
    "all is lost": ({"loss": "99%"}, "must be 95% at most"),
}


@pytest.mark.parametrize(("said", "says"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_with_its_mend(said: dict[str, str], says: str) -> None:
    assert says in fault_in_terms(LEAST | said)
    asked = request(operation=Operation.FIRMWARE_TRANSFER, parameters=LEAST | said)
    assert says in fault_in(asked)
    assert fault_in(request(operation=Operation.SET_CLOCK, parameters=LEAST | said)) == ""


def test_every_default_is_allowed_and_every_term_has_a_meaning() -> None:
    said = {name: term.default for name, term in TERMS.items() if term.default}
    assert terms_of(LEAST | said) == terms_of(LEAST)
    assert all(term.meaning for term in (*TERMS.values(), *BY_NETWORK.values()))


@given(st.sampled_from([*TERMS, "share.nb_iot", "concurrent.rf_mesh"]), st.text(max_size=40))
def test_any_text_is_read_or_refused(name: str, text: str) -> None:
    said = fault_in_terms(LEAST | {name: text})
    assert not said or name in said
