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
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import connectors
import schemas
import streams
from connectors.cli import keys as cli_keys
from connectors.cli.failure import CommandError
from connectors.cli.probe import access as probe_access
from connectors.cli.shipment import read_shipment
from connectors.gateway import masking
from connectors.gateway.access import access_of, trials_of
from connectors.gateway.errors import JobError, KeyStoreError
from connectors.gateway.key_entries import Seal
from connectors.gateway.keystore import FileKeyStore, FolderKeyStore, MeterKeys, create_master_key, master_key
from connectors.gateway.reservations import Counting
from connectors.protocols.dlms.association import Association, aarq, associate, masked
from connectors.protocols.dlms.ciphering import Deciphered, Keys, cipher, decipher, gmac
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.general_ciphering import KeyInfo, Parties, encipher
from connectors.protocols.dlms.get import Attribute, get
from connectors.protocols.dlms.hls import Hls, Mechanism
from connectors.protocols.dlms.objects import mbus_client, security_setup
from connectors.protocols.dlms.put import put
from connectors.protocols.dlms.security import Channel, MemoryCounter, secured
from connectors.protocols.dlms.signing import Identity, private_key
from connectors.protocols.dlms.template import PullTemplate
from streams.runtime.settings import Gateway, Kafka, Settings
from tests.unit.connectors.gateway.builders import (
    SERIAL,
    TITLE,
    FakeKeys,
    meter,
)
from tests.unit.secrecy import (
    AGREEMENT,
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
    cases,
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


AGREED = PullTemplate(
    auth="hls-ecdsa", security="both", suite=1, ciphering="general-ciphering", key_info="one-pass", signed=True
)


def channel(**more: Any) -> Channel:
    given: dict[str, Any] = {"title": OURS, "keys": KEYS, "counter": MemoryCounter(), "peer": METER}
    return Channel(**(given | more))


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


# -- errors ----------------------------------------------------------------------------------------------------------------


def _answers(config: Association, *answers: bytes) -> None:
    session = associate(config)
    next(session)
    for answer in answers:
        session.send(answer)


def _wrong_proof(mechanism: Mechanism) -> None:
    """An AARE that asks for our proof, and an answer to that with a proof of nothing."""
    head = bytes.fromhex("A109060760857405080101A203020100A305A10302010EA40A0408") + METER
    asks = bytes.fromhex("8907608574050802") + bytes((mechanism,)) + b"\xaa\x0a\x80\x08CHALLENG"
    body = head + asks + bytes.fromhex("BE10040E0800065F1F040000501FFFFF0007")
    config = Association(hls=Hls(mechanism, PASSWORD), channel=channel(policy=0))
    _answers(config, b"\x61" + bytes((len(body),)) + body, bytes.fromhex("C701C100010009") + bytes(21))


def _opened(keys: Keys, apdu: bytes) -> None:
    decipher(apdu, lambda _: keys, METER)


def _parse_keys(tmp_path: Path, content: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    cli_keys.lookup("", "", path)


SEALED = cipher(PASSWORD, Keys(EK, AK), METER, 1)
OTHER = Keys(AK, EK)
PARTIES = Parties(METER, OURS, b"1")

ERRORS: dict[str, Callable[[Path], object]] = {
    "key-of-another-length": lambda _: Keys(EK + b"x", AK),
    "key-of-another-suite": lambda _: Keys(EK, AK, suite=2),
    "wrong-key": lambda _: _opened(OTHER, SEALED),
    "altered": lambda _: _opened(Keys(EK, AK), SEALED[:-1] + b"\0"),
    "no-authentication-key": lambda _: _opened(Keys(EK), SEALED),
    "malformed": lambda _: _opened(Keys(EK, AK), SEALED[:14]),
    "no-broadcast-key": lambda _: _opened(Keys(EK, AK), SEALED[:11] + b"\x70" + SEALED[12:]),
    "no-wrapping-key": lambda _: encipher(PASSWORD, Keys(EK, AK), PARTIES, 1, KeyInfo.WRAPPED, security=0x30),
    "no-agreement-key": lambda _: encipher(PASSWORD, Keys(EK, AK, suite=1), PARTIES, 1, KeyInfo.ONE_PASS, security=0x31),
    "gmac-without-key": lambda _: gmac(PASSWORD, Keys(EK), METER, 1),
    "password-and-hls": lambda _: Association(password=PASSWORD, hls=Hls(Mechanism.MD5, PASSWORD)),
    "secret-for-gmac": lambda _: Hls(Mechanism.GMAC, PASSWORD),
    "channel-without-counter": lambda _: channel(counter=None),
    "counter-used-up": lambda _: channel(counter=MemoryCounter(1 << 32)).protect(b"\xc0\x01\xc1"),
    "refused-association": lambda _: _answers(
        Association(password=PASSWORD), bytes.fromhex("6117A109060760857405080101A203020101A305A10302010D")
    ),
    "answer-that-mirrors-the-password": lambda _: _answers(Association(password=PASSWORD), b"\x61\x14" + PASSWORD),
    "closed": lambda _: _answers(Association(password=PASSWORD), b""),
    "wrong-proof-md5": lambda _: _wrong_proof(Mechanism.MD5),
    "wrong-proof-sha256": lambda _: _wrong_proof(Mechanism.SHA256),
    "private-key-of-another-length": lambda _: private_key(SIGNING + b"x", 1),
    "mbus-key-of-another-length": lambda _: next(mbus_client.set_key(_link(), 1, NEW + b"x")),
    "clear-answer": lambda _: channel().open(b"\xc4\x01\xc1\0\x09\x14" + PASSWORD),
    "master-key-not-hex": lambda _: master_key(Gateway(master_key=MASTER.decode())),
    "master-key-too-short": lambda _: master_key(Gateway(master_key=MASTER.hex()[:-2])),
    "master-key-file-not-hex": lambda path: master_key(Gateway(master_key_file=_file(path, MASTER.decode()))),
    "wrong-master-key": lambda path: FileKeyStore.open(_store(path), bytes(32)).get("m1"),
    "master-key-of-another-length": lambda path: FileKeyStore.open(path / "s", MASTER + b"x"),
    "broken-store": lambda path: FileKeyStore.open(_file(path, '{"entries": "' + EK.hex()), MASTER),
    "another-file-for-a-store": lambda path: FileKeyStore.open(_file(path, '{"ek": "' + EK.hex() + '"}'), MASTER),
    "password-too-long": lambda path: FileKeyStore.open(path / "s", MASTER).put_many(
        {"m1": MeterKeys(None, None, PASSWORD * 5000)}
    ),
    "keys-option": lambda _: cli_keys.lookup(EK.hex() + "0", AK.hex(), None),
    "keys-file-key-as-title": lambda path: _parse_keys(path, f'{{"{EK.hex()}": {{"ek": "{AK.hex()}"}}}}'),
    "keys-file-not-hex": lambda path: _parse_keys(path, f'{{"{TITLE.hex()}": {{"ek": "{EK.decode()}"}}}}'),
    "keys-file-no-json": lambda path: _parse_keys(path, f"{TITLE.hex()} {EK.hex()}"),
    "keys-file-list": lambda path: _parse_keys(path, f'["{EK.hex()}"]'),
    "password-of-a-meter-that-has-none": lambda _: access_of(
        meter(key_ref="ref"), PullTemplate(auth="low"), FakeKeys({"ref": MeterKeys(EK, AK)}), OURS
    ),
    "keys-of-another-suite": lambda _: access_of(meter(key_ref="ref"), PullTemplate(security="both", suite=2), STORE, OURS),
    "private-key-of-another-suite": lambda _: access_of(
        meter(key_ref="ref"), PullTemplate(auth="hls-ecdsa", suite=2), STORE, OURS
    ),
    "a-symmetric-key-as-a-private-one": lambda _: access_of(
        meter(key_ref="ref"),
        PullTemplate(auth="hls-ecdsa", suite=1),
        FakeKeys({"ref": replace(HELD, signing=KEK)}),
        OURS,
    ),
    "keys-of-another-meter": lambda _: access_of(
        meter(key_ref="ref"), AGREED, FakeKeys({"ref": replace(HELD, meter="another")}), OURS
    ),
    "probe-key-not-hex": lambda _: probe_access.access(PullTemplate(), probe_access.Secrets(ek=EK.decode(), kek=KEK.hex())),
    "probe-key-too-long": lambda _: probe_access.access(
        PullTemplate(), probe_access.Secrets(ek=EK.hex() + "00", ak=AK.hex())
    ),
    "probe-private-key-that-is-none": lambda path: probe_access.access(
        PullTemplate(), probe_access.Secrets(signing=Path(_file(path, SIGNING.hex() + "00")))
    ),
    "folder-key-not-hex": lambda path: _in_a_folder(path, '{"ek": "' + EK.decode() + '"}'),
    "folder-key-as-a-field": lambda path: _in_a_folder(path, '{"' + SIGNING.hex() + '": "1"}'),
    "folder-no-json": lambda path: _in_a_folder(path, SIGNING.hex()),
    "folder-private-key-that-is-none": lambda path: _in_a_folder(path, '{"signing": "' + KEK.hex() + '"}'),
    "keys-given-to-another-meter": lambda path: FileKeyStore.open(_store(path), MASTER).put_many(
        {"m1": replace(HELD, meter="another")}
    ),
    "a-change-that-is-under-way": lambda path: _changing(path).propose("m1", MeterKeys(NEW)),
    "a-change-that-cannot-be": lambda path: _changing(path).note("m1", security_setup.KeyEvent.SEND),
    "rekey-by-a-short-key": lambda path: FileKeyStore.open(_store(path), MASTER).rekey(MASTER[:-1]),
    "settings-of-another-type": lambda _: Settings.model_validate({"gateway": {"master_key": [MASTER.hex()]}}),
    "settings-of-another-shape": lambda _: Settings.model_validate({"kafka": {"sasl_password": {"is": PASSWORD.decode()}}}),
}
"""Each way to fail that secrets are near to."""


def _link() -> Any:
    from connectors.protocols.dlms.association import PROPOSED, Associated  # noqa: PLC0415 - used by this alone

    return Associated(PROPOSED, 0)


def _file(folder: Path, content: str) -> str:
    path = folder / "given"
    path.write_text(content)
    return str(path)


def _store(folder: Path) -> Path:
    path = folder / "store.json"
    FileKeyStore.open(path, MASTER).put_many({"m1": replace(HELD, meter="m1")})
    clean(path.read_bytes())
    return path


def _changing(folder: Path) -> FileKeyStore:
    """A store with a change of keys under way, its files searched."""
    path = _store(folder)
    store = FileKeyStore.open(path, MASTER)
    clean(store.propose("m1", MeterKeys(NEW, NEW)), repr(store))
    store.note("m1", security_setup.KeyEvent.SEND)
    clean(*(item.read_bytes() for item in folder.iterdir()), store.pending("m1"), store.changes())
    return store


def _in_a_folder(folder: Path, content: str) -> object:
    (folder / "m1").write_text(content)
    return FolderKeyStore(folder).get("m1")


def test_keys_under_change_and_under_another_master_key_are_sealed(tmp_path: Path) -> None:
    store = _changing(tmp_path)
    clean(*trials_of(meter("m1", key_ref="m1"), AGREED, store, OURS))
    store.rekey(bytes(32))
    clean(*(item.read_bytes() for item in tmp_path.iterdir()))
    store.note("m1", security_setup.KeyEvent.NEW_WORKS)
    clean(*(item.read_bytes() for item in tmp_path.iterdir()))


@pytest.mark.parametrize("fail", cases(ERRORS))
def test_errors(fail: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises((DlmsError, ValueError, JobError, KeyStoreError, CommandError, ValidationError)) as caught:
        fail(tmp_path)
    error = caught.value
    # What a traceback shows of the code is the code's; of the error it shows the texts, causes included.
    texts = traceback.TracebackException.from_exception(error).format_exception_only()
    clean(error, error.args, "".join(texts), error.__cause__, getattr(error, "detail", ""), getattr(error, "mend", ""))
    if not error.__suppress_context__:
        clean(error.__context__)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(f"id,ek,ak\nm1,{EK.hex()}0,{AK.hex()}\n", id="key-of-odd-length"),
        pytest.param(f"id,ek,ak\nm1,{EK.decode()},{AK.hex()}\n", id="key-not-hex"),
        pytest.param(f"id,serial\nm1,{SERIAL},{EK.hex()}\n", id="a-column-too-many"),
        pytest.param(f"id,signing_key\nm1,{SIGNING.hex()}\n", id="a-private-key"),
        pytest.param(f"id,signing_key\nm1,{SIGNING.hex()}00\n", id="a-private-key-too-long"),
        pytest.param(f"id,agreement_key\nm1,-----BEGIN EC PRIVATE KEY-----{AGREEMENT.hex()}\n", id="a-broken-pem"),
        pytest.param(f"id,meter_certificate\nm1,{SIGNING.hex()}\n", id="a-private-key-as-a-certificate"),
        pytest.param(f"id,kek\nm1,{KEK.hex()}zz\n", id="a-master-key-not-hex"),
        pytest.param(f"id,system_title,ek\nm1,{EK.hex()},{AK.hex()}\n", id="key-as-title"),
        pytest.param(f"id,{EK.hex()}\nm1,1\n", id="key-as-a-column"),
        pytest.param(f"m1,{EK.hex()},{AK.hex()}\n", id="no-header"),
        pytest.param('{"id": "m1", "ek": ["' + EK.hex() + '"]}\n', id="json-list"),
        pytest.param('{"id": "m1", "secrets": "' + EK.hex() + '"}\n', id="json-secrets"),
        pytest.param('{"id": "m1", "ek": "' + EK.hex() + "\n", id="broken-json"),
        pytest.param(
            '{"id": "m1", "template": "' + "x" + '", "password": 5, "ek": "' + EK.hex() + '"}\n', id="password-number"
        ),
    ],
)
def test_shipment_files(lines: str, tmp_path: Path) -> None:
    path = tmp_path / ("ship.csv" if lines[0] != "{" else "ship.jsonl")
    path.write_text(lines)
    try:
        rows = list(read_shipment(path))
    except CommandError as error:
        clean(error, error.mend)
    else:
        clean(*rows)


# -- octets that are kept --------------------------------------------------------------------------------------------------


SECRET_OBJECT = Attribute(15, "0.0.40.0.0.255", 7)


def _first(session: Any) -> bytes:
    request: bytes = next(session)
    return request


SENT: dict[str, Callable[[], bytes]] = {
    "aarq-with-a-password": lambda: aarq(Association(password=PASSWORD)),
    "set-of-the-secret": lambda: _first(put(_link(), SECRET_OBJECT, b"\x09\x14" + PASSWORD)),
    "set-of-an-mbus-key": lambda: _first(mbus_client.set_key(_link(), 1, NEW)),
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
    "get": lambda: _first(secured(get(_link(), Attribute(1, "0.0.96.1.0.255", 2)), channel())),
    "secret": lambda: _first(secured(put(_link(), SECRET_OBJECT, b"\x09\x14" + PASSWORD), channel())),
    "new-keys": lambda: _first(
        secured(
            security_setup.transfer_keys(_link(), [security_setup.NewKey(security_setup.KeyKind.UNICAST, NEW)], KEK),
            channel(),
        )
    ),
    "new-keys-in-clear": lambda: _first(
        security_setup.transfer_keys(_link(), [security_setup.NewKey(security_setup.KeyKind.UNICAST, NEW)], KEK)
    ),
    "hls": lambda: aarq(Association(hls=Hls(Mechanism.SHA1, PASSWORD)), b"CHALLENGE"),
}


@pytest.mark.parametrize("sent", CIPHERED.values(), ids=list(CIPHERED))
def test_what_is_sent_under_a_key_shows_nothing(sent: Callable[[], bytes]) -> None:
    clean(sent())


def test_a_master_key_is_created_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError) as caught:
        create_master_key(_file(tmp_path, MASTER.hex()))
    clean(caught.value)
