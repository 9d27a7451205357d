"""All that a template may ask for, by the gateway's access and the probe's wire, against gurux' own server and jDLMS."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.cli.probe.address import Target
from connectors.cli.probe.driver import Wire
from connectors.gateway.access import Access, access_of, trials_of
from connectors.gateway.errors import JobError
from connectors.gateway.keystore import FileKeyStore, MeterKeys
from connectors.protocols.dlms.association import Associated, Association, Conformance, associate, release
from connectors.protocols.dlms.client import read_clock, read_registers
from connectors.protocols.dlms.client_apdus import Session, T
from connectors.protocols.dlms.errors import CipherError, DlmsError, PeerError
from connectors.protocols.dlms.get import Attribute, get
from connectors.protocols.dlms.link import Timing, WrapperLink
from connectors.protocols.dlms.objects.object_list import read_object_list
from connectors.protocols.dlms.objects.security_setup import KeyEvent, KeyKind, KeyState, NewKey, transfer_keys
from connectors.protocols.dlms.security import MemoryCounter
from connectors.protocols.dlms.speaking import spoken
from connectors.protocols.dlms.template import PullTemplate
from schemas.records import Identity, IdentityKind, Meter
from tests.integration import gurux_peer
from tests.integration.gurux_peer import ENERGY, LONG, SERIAL, TITLE, Peer
from tests.integration.java_peer import jdlms
from tests.unit.connectors.gateway.builders import FakeKeys

pytestmark = pytest.mark.integration

OURS = b"CLI\0\0\0\0\1"
MASTER = bytes(range(0x40, 0x50))
ENTRIES = [Attribute.parse(text) for text in (ENERGY, SERIAL)]


class Visit:
    """One association as template and key store have it, over the probe's blocking socket."""

    def __init__(self, port: int, access: Access, counter: MemoryCounter | None = None) -> None:
        self.config: Association = access.association(counter or MemoryCounter(10))
        link = WrapperLink(access.pull.client, access.pull.server, Timing(answer_s=5.0))
        self.wire = Wire(socket.create_connection(("127.0.0.1", port), 10), Target("127.0.0.1", port), link)
        self.wire.open()
        self.link: Associated | None = None

    def open(self) -> Associated:
        self.link = self.run(associate(self.config))
        return self.link

    def run(self, session: Session[T]) -> T:
        return self.wire.run(spoken(session, self.config, self.link))

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.part(None if self.link is None else spoken(release(self.config), self.config, self.link), 3.0)


def access(keys: MeterKeys, *, title: bytes | None = None, **pull: Any) -> Access:
    """What the gateway makes of a template and a key store."""
    known = () if title is None else (Identity(IdentityKind.SYSTEM_TITLE, title.hex()),)
    meter = Meter(id="m1", key_ref="ref", identities=known)
    return access_of(meter, PullTemplate(**({"client": 1} | pull)), FakeKeys({"ref": keys}), OURS)


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with gurux_peer.running("ln0", "ln1", "ln2", "ln1s", "sn0") as peer:
        yield peer


GMAC: dict[str, Any] = {"auth": "hls-gmac", "security": "both"}
WAYS = {
    "none": ("ln0", {}),
    "low": ("ln0", {"auth": "low"}),
    "md5": ("ln0", {"auth": "hls-md5"}),
    "sha1": ("ln0", {"auth": "hls-sha1"}),
    "sha256": ("ln0", {"auth": "hls-sha256"}),
    "ecdsa": ("ln1s", {"auth": "hls-ecdsa"}),
    "ecdsa-ciphered": ("ln1s", {"auth": "hls-ecdsa", "security": "both"}),
    "short-names": ("sn0", {}),
    "short-names-low": ("sn0", {"auth": "low"}),
    **{
        f"suite-{suite}-{name}": (f"ln{suite}", given)
        for suite in (0, 1, 2)
        for name, given in {
            "gmac-in-clear": {"auth": "hls-gmac"},
            "gmac": GMAC,
            "low": {"auth": "low", "security": "both"},
            "authenticated": GMAC | {"security": "authenticated"},
            "dedicated": GMAC | {"dedicated": True},
            "general-glo": GMAC | {"ciphering": "general"},
            "general-ded": GMAC | {"ciphering": "general", "dedicated": True},
        }.items()
    },
}


@pytest.mark.parametrize(("kind", "given"), WAYS.values(), ids=list(WAYS))
def test_guruxs_own_server(peer: Peer, kind: str, given: Mapping[str, Any]) -> None:
    suite = int(kind[2])
    asked = access(peer.keys(suite), title=TITLE, suite=suite, referencing=kind[:2], **given)
    with Visit(peer.ports[kind], asked) as visit:
        link = visit.open()
        found = visit.run(read_registers(link, ENTRIES))
        assert [(r.value, r.scaler, r.unit) for r in found] == [(123456789, -1, "Wh"), ("GRX00000042", None, "")]
        value = visit.run(get(link, Attribute.parse(LONG)))
        assert value == b"\x09\x82\x0b\xb8" + bytes((1 + n) & 0xFF for n in range(3000))
        assert visit.run(read_clock(link)) is not None
        objects = visit.run(read_object_list(link))
        assert {"0.0.96.1.0.255", "1.0.1.8.0.255", "0.0.1.0.0.255"} <= {entry.obis for entry in objects}


def test_general_block_transfer(peer: Peer) -> None:
    """One block at a time and in clear: gurux.dlms 4.0.47 begins anew with each acknowledgement of several, and counts its
    blocks by what they were before ciphering.
    """
    with Visit(peer.ports["ln0"], access(peer.keys(0), gbt_window=1)) as visit:
        link = visit.open()
        assert Conformance.GENERAL_BLOCK_TRANSFER in link.conformance
        assert len(visit.run(get(link, Attribute.parse(LONG)))) == 3004
        assert visit.run(read_clock(link)) is not None


@pytest.mark.parametrize(
    ("kind", "given", "change", "codes"),
    [
        pytest.param("ln1", GMAC, {"ek": bytes(16)}, ("peer-exception",), id="wrong-ek"),
        pytest.param("ln1s", {"auth": "hls-ecdsa"}, {"signing": bytes(31) + b"\7"}, ("peer-",), id="our-key-is-unknown"),
        pytest.param("ln1s", {"auth": "hls-ecdsa"}, {"meter_signing": None}, ("key-missing",), id="the-meters-is-missing"),
        pytest.param("ln2", GMAC, {"ak": bytes(16)}, ("key-missing",), id="a-key-of-suite-0"),
        pytest.param("ln0", {"auth": "low"}, {"password": b"wrong"}, ("peer-association-refused",), id="wrong-password"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_code(
    peer: Peer, kind: str, given: Mapping[str, Any], change: Mapping[str, Any], codes: tuple[str, ...]
) -> None:
    suite = int(kind[2])
    fields = {name: getattr(peer.keys(suite), name) for name in MeterKeys.__dataclass_fields__}
    with pytest.raises((DlmsError, JobError)) as caught:  # noqa: PT012 - the key store is asked before anyone connects
        asked = access(MeterKeys(**fields | dict(change)), title=TITLE, suite=suite, **given)
        with Visit(peer.ports[kind], asked) as visit:
            visit.open()
    assert isinstance(caught.value, DlmsError | JobError)
    assert caught.value.code.startswith(codes)


def test_a_meter_with_another_signing_key_is_not_believed(peer: Peer) -> None:
    fields = {name: getattr(peer.keys(1), name) for name in MeterKeys.__dataclass_fields__}
    impostor = MeterKeys(**fields | {"meter_signing": peer.points[1]})
    with Visit(peer.ports["ln1s"], access(impostor, title=TITLE, suite=1, auth="hls-ecdsa")) as visit:
        with pytest.raises(PeerError) as caught:
            visit.open()
        assert caught.value.code == "peer-authentication"


# -- jDLMS: short names, and a change of keys ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def short_names() -> Iterator[int]:
    with jdlms("peer.ShortNames") as port:
        yield port


@pytest.fixture
def objects() -> Iterator[int]:
    """A meter of its own for each test: they change its keys."""
    with jdlms("peer.Objects") as port:
        yield port


@pytest.mark.parametrize(("client", "auth"), [(16, "none"), (1, "low")], ids=["none", "low"])
def test_short_names_of_jdlms(short_names: int, client: int, auth: str) -> None:
    asked = access(MeterKeys(password=b"Passw0rd"), client=client, auth=auth, referencing="sn")
    absent = Attribute(1, "0.0.96.9.0.255", 2)
    with Visit(short_names, asked) as visit:
        link = visit.open()
        found = visit.run(read_registers(link, [*ENTRIES, absent]))
        assert [(r.value, r.scaler, r.unit) for r in found[:2]] == [(123456789, -1, "Wh"), ("HES00000042", None, "")]
        assert "object-undefined" in str(found[2].refusal)
        time = visit.run(read_clock(link))
        assert time is not None
        assert time.iso == "2022-07-12T16:54:30+02:00"
        assert len(visit.run(read_object_list(link))) == 7


OLD = MeterKeys(bytes(range(0x10)), bytes(range(0xD0, 0xE0)), kek=MASTER, meter="m1")
NEW = MeterKeys(bytes(range(0x60, 0x70)), bytes(range(0x80, 0x90)))
METER = Meter(id="m1", key_ref="ref")
CIPHERED = PullTemplate(client=2, **GMAC)


def works(port: int, asked: Access) -> bool:
    """Whether an association stands."""
    try:
        with Visit(port, asked) as visit:
            visit.open()
    except (PeerError, CipherError):
        return False
    return True


def changed(port: int, store: FileKeyStore, loses: Callable[[], bool]) -> None:
    """Give the meter the proposed keys; `loses` says whether we die before we hear of it."""
    proposed = store.propose("ref", NEW)
    (before,) = trials_of(METER, CIPHERED, store, OURS)
    with Visit(port, before.access) as visit:
        link = visit.open()
        assert proposed.keys.ek is not None
        assert proposed.keys.ak is not None
        new = [NewKey(KeyKind.UNICAST, proposed.keys.ek), NewKey(KeyKind.AUTHENTICATION, proposed.keys.ak)]
        store.note("ref", KeyEvent.SEND)
        visit.run(transfer_keys(link, new, MASTER))
        if not loses():
            store.note("ref", KeyEvent.ACCEPTED)


@pytest.mark.parametrize("dies", [False, True], ids=["heard-of-it", "died-before"])
@pytest.mark.parametrize("taken", [True, False], ids=["the-meter-took-them", "the-meter-did-not"])
def test_a_change_of_keys_is_recovered(objects: int, tmp_path: Path, *, dies: bool, taken: bool) -> None:
    store = FileKeyStore.open(tmp_path / "keys", bytes(32))
    store.put_many({"ref": OLD})
    if taken:
        changed(objects, store, lambda: dies)
    else:
        store.propose("ref", NEW)
        store.note("ref", KeyEvent.SEND)
        if not dies:
            store.note("ref", KeyEvent.ACCEPTED)  # it said so, and forgot
    again = FileKeyStore.open(tmp_path / "keys", bytes(32))
    tried = []
    for trial in trials_of(METER, CIPHERED, again, OURS):
        tried.append(trial.which)
        if works(objects, trial.access):
            state = again.note("ref", KeyEvent.NEW_WORKS if trial.which == "new" else KeyEvent.OLD_WORKS)
            break
    assert tried == (["new"] if taken else ["new", "old"])
    assert state is (KeyState.ACTIVATED if taken else KeyState.RECOVERED)
    held = again.get("ref")
    assert held is not None
    assert (held.ek, held.kek, held.meter) == ((NEW if taken else OLD).ek, MASTER, "m1")
    assert works(objects, access_of(METER, CIPHERED, again, OURS))
