"""No key, password or plain secret in an error: everything is led into every failure that is cheap to reach."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from connectors.cli import keys as cli_keys
from connectors.cli.failure import CommandError
from connectors.cli.probe import access as probe_access
from connectors.cli.shipment import read_shipment
from connectors.gateway.access import access_of, trials_of
from connectors.gateway.errors import JobError, KeyStoreError
from connectors.gateway.keystore import FileKeyStore, FolderKeyStore, MeterKeys, create_master_key, master_key
from connectors.protocols.dlms.association import Association, associate
from connectors.protocols.dlms.ciphering import Keys, cipher, decipher, gmac
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.general_ciphering import KeyInfo, Parties, encipher
from connectors.protocols.dlms.hls import Hls, Mechanism
from connectors.protocols.dlms.objects import mbus_client, security_setup
from connectors.protocols.dlms.security import MemoryCounter
from connectors.protocols.dlms.signing import private_key
from connectors.protocols.dlms.template import PullTemplate
from streams.runtime.settings import Gateway, Settings
from tests.unit.connectors.gateway.builders import SERIAL, TITLE, FakeKeys, meter
from tests.unit.secrecy import (
    AGREED,
    AGREEMENT,
    AK,
    EK,
    HELD,
    KEK,
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
)


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
    "mbus-key-of-another-length": lambda _: next(mbus_client.set_key(association(), 1, NEW + b"x")),
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


def test_a_master_key_is_created_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError) as caught:
        create_master_key(_file(tmp_path, MASTER.hex()))
    clean(caught.value)
