from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.gateway.identify import discovered, identify, presented
from connectors.protocols.dlms.push import read_push
from connectors.protocols.dlms.telegram import Telegram
from connectors.protocols.dlms.template import PushTemplate
from connectors.templates.loader import load_templates
from schemas.records import Identity, IdentityKind, Meter, MeterState
from tests.unit.connectors.gateway.builders import (
    ENDPOINT,
    SERIAL,
    TITLE,
    directory,
    meter,
    named,
    notification,
    reading,
    text,
    title,
)

LDN = Identity(IdentityKind.LOGICAL_DEVICE_NAME, "KFM1200200234804")
SERIAL_ID = Identity(IdentityKind.SERIAL, SERIAL)
HOST = Identity(IdentityKind.ENDPOINT, "10.0.0.7")
OTHER_TITLE = title(b"KAM99999")
TEMPLATES = load_templates()


def says(*identities: Identity) -> Telegram:
    """A telegram that presents these, read from octets."""
    objects = {LDN.kind: "0.0.42.0.0.255", SERIAL_ID.kind: "0.0.96.1.0.255"}
    elements = [named(objects[item.kind], text(item.value), "") for item in identities if item.kind in objects]
    plain = notification(*elements, named("1.0.1.8.0.255", b"\x06\0\0\0\1"), named("1.0.2.8.0.255", b"\x06\0\0\0\1"))
    telegram = read_push(plain, lambda _: None)
    titles = [item.value for item in identities if item.kind is IdentityKind.SYSTEM_TITLE]
    return replace(telegram, system_title=titles[0] if titles else None)


def template_of(item: Meter) -> PushTemplate:
    return TEMPLATES[item.template or "generic"].push


def test_identities_are_found_strongest_first() -> None:
    assert presented(says(SERIAL_ID, LDN, title())) == (title(), LDN, SERIAL_ID)


def test_an_endless_name_is_no_identity() -> None:
    assert presented(says(Identity(IdentityKind.SERIAL, "9" * 65))) == ()


CASES = [
    pytest.param([meter("m1", title())], (title(),), "m1", "", id="system-title"),
    pytest.param([meter("m1", LDN)], (LDN,), "m1", "", id="logical-device-name"),
    pytest.param([meter("m1", SERIAL_ID)], (SERIAL_ID,), "m1", "", id="serial"),
    pytest.param([meter("m1", title(), SERIAL_ID)], (title(), SERIAL_ID), "m1", "", id="two-that-agree"),
    pytest.param([meter("m1", SERIAL_ID)], (title(), SERIAL_ID), "m1", "", id="one-known-one-not-registered"),
    pytest.param([], (SERIAL_ID,), None, "", id="nobody"),
    pytest.param([meter("m1", SERIAL_ID, state=MeterState.DISCOVERED)], (SERIAL_ID,), None, "", id="discovered-is-unknown"),
    pytest.param(
        [meter("m1", title()), meter("m2", SERIAL_ID)], (title(), SERIAL_ID), "m1", "to meter m2", id="two-that-disagree"
    ),
    pytest.param(
        [meter("m1", title()), meter("m2", SERIAL_ID, state=MeterState.DISCOVERED)],
        (title(), SERIAL_ID),
        "m1",
        "",
        id="discovered-disagrees-with-nobody",
    ),
    pytest.param(
        [meter("m1", OTHER_TITLE, SERIAL_ID)],
        (title(), SERIAL_ID),
        "m1",
        "registered is",
        id="another-title-than-registered",
    ),
    pytest.param(
        [meter("m1", title(), template="han-norway"), meter("m2", SERIAL_ID, template="han-norway")],
        (title(), SERIAL_ID),
        "m2",
        "belongs to meter m2",
        id="the-template-has-its-own-order",
    ),
    pytest.param([meter("m1", HOST)], (), "m1", "", id="host"),
    pytest.param([meter("m1", Identity(IdentityKind.ENDPOINT, ENDPOINT))], (), "m1", "", id="host-and-port"),
    pytest.param([meter("m1", Identity(IdentityKind.ENDPOINT, "10.0.0.7:5"))], (), None, "", id="another-port"),
    pytest.param([meter("m1", HOST), meter("m2", SERIAL_ID)], (SERIAL_ID,), "m2", "", id="endpoint-counts-last"),
    pytest.param([meter("m1", HOST)], (SERIAL_ID,), "m1", "", id="endpoint-with-a-name-nobody-registered"),
    pytest.param(
        [meter("m1", HOST, Identity(IdentityKind.SERIAL, "1"))],
        (SERIAL_ID,),
        None,
        "",
        id="another-meter-at-the-same-endpoint",
    ),
]


@pytest.mark.parametrize(("meters", "speaks", "found", "conflict"), CASES)
def test_who_is_speaking(meters: list[Meter], speaks: tuple[Identity, ...], found: str | None, conflict: str) -> None:
    who = identify(says(*speaks), ENDPOINT, directory(*meters), template_of)
    assert (who.meter.id if who.meter else None) == found
    assert conflict in who.conflict
    assert bool(conflict) == bool(who.conflict)


def test_the_id_of_a_discovered_meter_follows_from_its_strongest_identity() -> None:
    first = discovered((title(), SERIAL_ID), ENDPOINT, 1)
    assert first.id == discovered((title(),), "elsewhere:1", 2).id
    assert first.state is MeterState.DISCOVERED
    assert first.identities == (title(), SERIAL_ID)
    assert discovered((SERIAL_ID,), ENDPOINT, 1).id != first.id


def test_without_identity_it_is_the_host_whatever_the_port() -> None:
    one, other = discovered((), "10.0.0.7:1", 1), discovered((), "10.0.0.7:2", 1)
    assert one.id == other.id
    assert one.identities == (HOST,)


def test_the_telegram_of_the_builders_is_what_it_says() -> None:
    assert presented(read_push(reading(), lambda _: None)) == (SERIAL_ID,)
    assert title().value == TITLE.hex().upper()
