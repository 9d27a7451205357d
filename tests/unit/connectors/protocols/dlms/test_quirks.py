"""Each quirk that a template may name changes something, and what it is."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from connectors.protocols.dlms.association import PROPOSED, Conformance
from connectors.protocols.dlms.objects.clock import TimeForm
from connectors.protocols.dlms.quirks import mbus_binary, proposed, rules_of, sends_deviation, time_form_of
from connectors.protocols.dlms.template import QUIRKS, PushTemplate, Template

DELHI = ZoneInfo("Asia/Kolkata")


def told(template: Template) -> tuple[object, ...]:
    """All that quirks have a say in."""
    return (
        proposed(template.quirks), rules_of(template, DELHI), time_form_of(template), sends_deviation(template),
        mbus_binary(template),
    )  # fmt: skip


def template(*quirks: str) -> Template:
    return Template("x", quirks=frozenset(quirks))


@pytest.mark.parametrize("quirk", QUIRKS)
def test_every_quirk_does_something(quirk: str) -> None:
    assert told(template(quirk)) != told(template())


def test_what_is_proposed() -> None:
    assert proposed(()) == PROPOSED
    assert proposed({"no-lists"}) == PROPOSED & ~Conformance.MULTIPLE_REFERENCES
    assert Conformance.SELECTIVE_ACCESS not in proposed({"no-selective-access"})


def test_a_market_that_turns_deviations_round() -> None:
    india = Template("x", push=PushTemplate(deviation_reversed=True))
    assert rules_of(india, DELHI).deviation_reversed
    assert time_form_of(india) == TimeForm(deviation_reversed=True)
