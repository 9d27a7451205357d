"""Keys of C12 meters: what is asked of the key store, how it is written, and what of it shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from connectors.gateway.drivers.c12_keys import C12Keys, keys_of, ring
from connectors.gateway.errors import JobError
from connectors.gateway.key_entries import pack, unpack
from connectors.gateway.keystore import MeterKeys
from connectors.protocols.c12.epsem import Mode
from connectors.protocols.dlms.meter_keys import READERS
from connectors.templates.c12_template import C12Template, LogonTemplate, MessageTemplate
from schemas.records import Meter
from tests.unit.connectors.gateway.builders import FakeKeys

HEX = "000102030405060708090a0b0c0d0e0f"
EAX, DES = READERS["eax"](f"0={HEX} 7={HEX[::-1]}"), READERS["des"]("3=0123456789ABCDEF")
METER = Meter(id="m1", key_ref="k")


def keys(held: MeterKeys, template: C12Template | None = None, *, c1222: bool = True) -> C12Keys:
    return keys_of(METER, template or C12Template("t"), FakeKeys({"k": held}), c1222=c1222)


def test_keys_by_their_ids() -> None:
    assert ring(EAX) == {0: bytes.fromhex(HEX), 7: bytes.fromhex(HEX[::-1])}
    assert ring(READERS["eax"](HEX)) == {0: bytes.fromhex(HEX)}
    assert ring(None) == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("eax", ""), ("eax", "0=00"), ("eax", f"1={HEX} 1={HEX}"), ("eax", f"256={HEX}"), ("eax", f"x={HEX}"),
        ("eax", "0=zz"), ("des", HEX), ("des", "1=00"), ("user", ""), ("user", "two"), ("user", "70000"),
        ("user", "2:a name too long"),
    ],
)  # fmt: skip
def test_what_is_no_key_is_refused_and_not_repeated(name: str, text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - every one of them is
        READERS[name](text)
    assert not text or text not in str(caught.value)


def test_a_store_of_before_and_of_now() -> None:
    held = MeterKeys(password=b"p", meter="m1", eax=EAX, des=DES, user=b"3:bob")
    assert unpack(pack(held)) == held
    before = pack(MeterKeys(password=b"p", meter="m1"))[:-6]  # three fields fewer
    assert unpack(before) == MeterKeys(password=b"p", meter="m1")


def test_who_logs_on() -> None:
    found = keys(MeterKeys(password=b"secret", user=b"7:bob"))
    assert (found.user.number, found.user.name, found.user.password) == (7, "bob", b"secret")
    assert "secret" not in repr(found)
    assert keys(MeterKeys()).user.number == 2
    assert keys(MeterKeys(password=b"hex:00ff")).user.password == b"\x00\xff"
    silent = replace(C12Template("t"), logon=LogonTemplate(c1222="NONE"))
    assert keys(MeterKeys(password=b"secret"), silent).user.password is None
    assert keys(MeterKeys(password=b"secret"), silent, c1222=False).user.password == b"secret"


SEALED = C12Template("t", messages=MessageTemplate(mode=Mode.CIPHERED, key_id=7))
BY_DES = C12Template("t", logon=LogonTemplate(proof="DES"))


def test_keys_that_the_template_asks_for() -> None:
    assert keys(MeterKeys(eax=EAX), SEALED).eax[7] == bytes.fromhex(HEX[::-1])
    found = keys(MeterKeys(des=DES, password=b"x"), BY_DES, c1222=False)
    assert found.des is not None
    assert (found.des.number, found.des.octets, found.user.password) == (3, bytes.fromhex("0123456789ABCDEF"), None)


@pytest.mark.parametrize(
    ("held", "template", "more", "code"),
    [
        pytest.param(MeterKeys(), SEALED, {}, "key-missing", id="no-eax"),
        pytest.param(MeterKeys(eax=EAX[:17]), SEALED, {}, "key-missing", id="another-id"),
        pytest.param(MeterKeys(), BY_DES, {"c1222": False}, "key-missing", id="no-des"),
        pytest.param(MeterKeys(password=b"x" * 21), None, {}, "key-missing", id="password-too-long"),
        pytest.param(MeterKeys(meter="m2"), None, {}, "key-shared", id="another-meter's"),
    ],
)
def test_what_is_missing(held: MeterKeys, template: C12Template | None, more: dict[str, Any], code: str) -> None:
    with pytest.raises(JobError) as caught:
        keys(held, template, **more)
    assert caught.value.code == code
