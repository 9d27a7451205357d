"""No key, password or plain secret in a repr, an error, or an APDU as it may be kept.

Everything is given secrets that can be recognised, is led into every failure that is cheap to reach, and what it says is
searched. The gateway's own way is in `test_no_secrets_gateway`.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import connectors
import schemas
import streams
from connectors.cli.probe import access as probe_access
from connectors.gateway import masking
from connectors.gateway.access import access_of
from connectors.gateway.key_entries import Seal
from connectors.gateway.reservations import Counting
from connectors.protocols.dlms.association import Association, aarq, associate
from connectors.protocols.dlms.ciphering import Deciphered
from connectors.protocols.dlms.get import Attribute, get
from connectors.protocols.dlms.hls import Hls, Mechanism
from connectors.protocols.dlms.masking import masked
from connectors.protocols.dlms.objects import mbus_client, security_setup
from connectors.protocols.dlms.put import put
from connectors.protocols.dlms.security import Channel, MemoryCounter, secured
from connectors.protocols.dlms.signing import Identity, private_key
from connectors.protocols.dlms.template import PullTemplate
from streams.runtime.settings import Gateway, Kafka, Settings
from tests.unit.connectors.gateway.builders import meter
from tests.unit.secrecy import (
    AGREED,
    AK,
    EK,
    HELD,
    KEK,
    KEYS,
    MASTER,
    METER,
    NEW,
    OURS,
    PASSWORD,
    SIGNING,
    STORE,
    association,
    cases,
    channel,
    clean,
    found_in,
)


@pytest.mark.parametrize(
    "said",
    [
        EK, b"..." + EK + b"...", EK.hex().encode(), EK.hex(), EK.hex(" ").upper(), EK.hex(":"), repr(EK), str(list(EK)),
        base64.b64encode(EK).decode(), {"key": EK}, [EK], str(int.from_bytes(EK, "big")),
    ],
    ids=str,
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(said: object) -> None:
    assert EK in found_in(said)


# -- reprs -----------------------------------------------------------------------------------------------------------------


def _begun() -> Channel:
    made = channel(dedicated=True)
    made.begin()
    return made


REPRS: dict[str, Callable[[], object]] = {
    "keys": lambda: KEYS,
    "meter-keys": lambda: HELD,
    "seal": lambda: Seal(MASTER),
    "probe-secrets": lambda: probe_access.Secrets(PASSWORD.decode(), EK.hex(), AK.hex(), KEK.hex()),
    "access-with-all-keys": lambda: access_of(meter(key_ref="ref"), AGREED, STORE, OURS),
    "association-with-all-keys": lambda: access_of(meter(key_ref="ref"), AGREED, STORE, OURS).association(MemoryCounter()),
    "words-of-an-access": lambda: access_of(meter(key_ref="ref"), AGREED, STORE, OURS).words,
    "association": lambda: Association(password=PASSWORD),
    "hls": lambda: Association(hls=Hls(Mechanism.SHA256, PASSWORD), channel=channel()),
    "channel": channel,
    "channel-with-a-dedicated-key": _begun,
    "identity": lambda: Identity(private_key(SIGNING, 1), private_key(SIGNING, 1)),
    "new-key": lambda: security_setup.NewKey(security_setup.KeyKind.UNICAST, NEW),
    "deciphered": lambda: Deciphered(PASSWORD, METER, 1, 0x30),
    "access": lambda: access_of(meter(key_ref="ref"), PullTemplate(auth="low", security="both"), STORE, OURS),
    "counting": lambda: Counting(("m1", "ref"), 1, 8, 100, lambda _: None),
    "settings": lambda: Settings(gateway=Gateway(master_key=MASTER.hex()), kafka=Kafka(sasl_password=PASSWORD.decode())),
    "settings-as-json": lambda: Settings(gateway=Gateway(master_key=MASTER.hex(), relay_secret=NEW.hex())).model_dump_json(),
    "session": lambda: associate(Association(password=PASSWORD)),
}


@pytest.mark.parametrize("make", REPRS.values(), ids=list(REPRS))
def test_reprs(make: Callable[[], object]) -> None:
    clean(make())


_SOUNDS_SECRET = re.compile(r"(^|_)(ek|ak|kek|dedicated|broadcast|password|secret|master_key|private|signing|plain|key)$")
_NO_SECRETS = {
    ("Accepted", "key"), ("Item", "key"), ("Identity", "signing"), ("Identity", "private"), ("Channel", "dedicated"),
    ("PullTemplate", "dedicated"), ("Telegram", "plain"), ("Keys", "dedicated"), ("Keys", "broadcast"),
}  # fmt: skip
"""Fields that sound so: Kafka's keys, key objects whose repr says nothing, switches, what is published anyway."""


def _dataclasses() -> Iterator[type]:
    """Every dataclass of ours."""
    seen: set[type] = set()
    for package in (connectors, schemas, streams):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if module.name.rpartition(".")[2] == "__main__":
                continue
            try:
                names = vars(importlib.import_module(module.name))
            except ImportError:
                continue  # an extra that is not installed
            for item in names.values():
                if isinstance(item, type) and dataclasses.is_dataclass(item) and item not in seen:
                    seen.add(item)
                    yield item


def test_fields_that_may_hold_a_secret_are_left_out_of_reprs() -> None:
    shown = {
        (cls.__name__, field.name)
        for cls in _dataclasses()
        if cls.__module__.split(".")[0] in ("connectors", "schemas", "streams")
        and "__create_fn__" in cls.__repr__.__qualname__
        for field in dataclasses.fields(cls)
        if field.repr and _SOUNDS_SECRET.search(field.name) and "bytes" in str(field.type)
    }
    assert shown - _NO_SECRETS == set()


# -- octets that are kept --------------------------------------------------------------------------------------------------

SECRET_OBJECT = Attribute(15, "0.0.40.0.0.255", 7)


def _first(session: Any) -> bytes:
    request: bytes = next(session)
    return request


SENT: dict[str, Callable[[], bytes]] = {
    "aarq-with-a-password": lambda: aarq(Association(password=PASSWORD)),
    "set-of-the-secret": lambda: _first(put(association(), SECRET_OBJECT, b"\x09\x14" + PASSWORD)),
    "set-of-an-mbus-key": lambda: _first(mbus_client.set_key(association(), 1, NEW)),
}


def kept(sent: Callable[[], bytes], mask: Callable[[bytes], bytes]) -> None:
    apdu = sent()
    assert found_in(apdu)
    clean(mask(apdu))
    assert len(mask(apdu)) == len(apdu)


@pytest.mark.parametrize("sent", cases(SENT))
def test_frames_as_they_may_be_kept(sent: Callable[[], bytes]) -> None:
    kept(sent, masked)


@pytest.mark.parametrize("sent", cases(SENT))
def test_frames_as_the_gateway_keeps_them(sent: Callable[[], bytes]) -> None:
    kept(sent, masking.masked)


CIPHERED: dict[str, Callable[[], bytes]] = {
    "association-with-a-dedicated-key": lambda: aarq(Association(channel=_begun())),
    "get": lambda: _first(secured(get(association(), Attribute(1, "0.0.96.1.0.255", 2)), channel())),
    "secret": lambda: _first(secured(put(association(), SECRET_OBJECT, b"\x09\x14" + PASSWORD), channel())),
    "new-keys": lambda: _first(
        secured(
            security_setup.transfer_keys(association(), [security_setup.NewKey(security_setup.KeyKind.UNICAST, NEW)], KEK),
            channel(),
        )
    ),
    "new-keys-in-clear": lambda: _first(
        security_setup.transfer_keys(association(), [security_setup.NewKey(security_setup.KeyKind.UNICAST, NEW)], KEK)
    ),
    "hls": lambda: aarq(Association(hls=Hls(Mechanism.SHA1, PASSWORD)), b"CHALLENGE"),
}


@pytest.mark.parametrize("sent", CIPHERED.values(), ids=list(CIPHERED))
def test_what_is_sent_under_a_key_shows_nothing(sent: Callable[[], bytes]) -> None:
    clean(sent())
