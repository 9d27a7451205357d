"""Single objects of a jDLMS meter over TCP: its own object list and security setup, and what `peer.Objects` adds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import pytest

from connectors.protocols.dlms.association import Associated, Association, associate, release
from connectors.protocols.dlms.ciphering import Keys
from connectors.protocols.dlms.client import read_clock
from connectors.protocols.dlms.errors import DlmsError, PeerError
from connectors.protocols.dlms.hls import Hls, Mechanism
from connectors.protocols.dlms.objects.alarm_registers import clear_alarm_register, read_alarm_registers
from connectors.protocols.dlms.objects.clock import Act, correct_clock, read_clock_settings, shift_clock
from connectors.protocols.dlms.objects.disconnect import Control, Outcome, remote_disconnect, remote_reconnect
from connectors.protocols.dlms.objects.image_transfer import (
    Activation,
    Image,
    Status,
    activate_image,
    read_image_state,
    send_block,
    transfer_image,
)
from connectors.protocols.dlms.objects.mbus_client import capture, read_mbus_device, read_mbus_devices, set_key
from connectors.protocols.dlms.objects.object_list import read_object_list
from connectors.protocols.dlms.objects.security_setup import (
    KeyEvent,
    KeyKind,
    KeyState,
    NewKey,
    advance,
    read_security_setup,
    transfer_keys,
)
from connectors.protocols.dlms.objects.steps import Pause, run_steps
from connectors.protocols.dlms.security import Channel, MemoryCounter
from tests.integration.java_peer import jdlms
from tests.integration.test_dlms_peers import PASSWORD, READER, Line, Secured

pytestmark = pytest.mark.integration

OSLO = ZoneInfo("Europe/Oslo")
CIPHERED = 2
TITLE = b"CLI\0\0\0\0\1"
MASTER = bytes(range(0x40, 0x50))
OLD = Keys(bytes(range(0x10)), bytes(range(0xD0, 0xE0)))
NEW = Keys(bytes(range(0x60, 0x70)), bytes(range(0x80, 0x90)))
FIRMWARE = bytes(n * 13 % 251 for n in range(2345))
IMAGE = Image(b"FW-3.0", FIRMWARE, hashlib.sha256(FIRMWARE).digest())


@pytest.fixture
def port() -> Iterator[int]:
    """A meter of its own for each test: they change it."""
    with jdlms("peer.Objects") as port:
        yield port


@pytest.fixture
def line(port: int) -> Iterator[Line]:
    with Line(port, READER) as line:
        yield line


@pytest.fixture
def link(line: Line) -> Associated:
    return line.run(associate(Association(password=PASSWORD)))


def secured(port: int, keys: Keys) -> Secured:
    channel = Channel(title=TITLE, keys=keys, counter=MemoryCounter(7), policy=0x30, heard=-1)
    return Secured(port, CIPHERED, Association(hls=Hls(Mechanism.GMAC), channel=channel))


def test_object_list(line: Line, link: Associated) -> None:
    found = line.run(read_object_list(link))
    assert {(entry.class_id, entry.obis) for entry in found} >= {
        (15, "0.0.40.0.0.255"), (64, "0.0.43.0.0.255"), (17, "0.0.41.0.0.255"), (8, "0.0.1.0.0.255"),
        (18, "0.0.44.0.0.255"), (70, "0.0.96.3.10.255"), (72, "0.1.24.1.0.255"), (1, "0.0.97.98.0.255"),
    }  # fmt: skip
    relay = found.find("0.0.96.3.10.255", 70)
    assert relay is not None
    assert [(r.index, r.readable, r.writable) for r in relay.attributes if r.index > 1] == [
        (2, True, False), (3, True, False), (4, True, True),
    ]  # fmt: skip
    assert [(r.index, r.callable) for r in relay.methods] == [(1, True), (2, True)]
    assert json.loads(json.dumps(found.to_json()))


def test_clock(line: Line, link: Associated) -> None:
    before = line.run(read_clock(link))
    assert before is not None
    now = before.to_utc_ms(OSLO) + 20_000
    done = line.run(correct_clock(link, OSLO, lambda: now))
    assert done.decision.act is Act.SET
    assert done.after is not None
    assert (done.after.iso, done.after.to_utc_ms(OSLO)) == ("2022-07-12T16:54:50+02:00", now)
    line.run(shift_clock(link, -120))
    assert line.run(read_clock_settings(link)).time_zone == -120


def test_alarms(line: Line, link: Associated) -> None:
    assert [register.bits for register in line.run(read_alarm_registers(link))] == [0x2001]
    done = line.run(clear_alarm_register(link, "0.0.97.98.0.255"))
    assert (done.before.bits, done.after.bits) == (0x2001, 0)


def test_breaker(line: Line, link: Associated) -> None:
    done = line.run(remote_disconnect(link))
    assert (done.outcome, done.after and done.after.control) == (Outcome.DONE, Control.DISCONNECTED)
    assert line.run(remote_disconnect(link)).outcome is Outcome.ALREADY
    assert line.run(remote_reconnect(link)).outcome is Outcome.DONE


def test_image_resumed_verified_and_activated(port: int) -> None:
    pauses: list[Pause] = []
    with Line(port, READER) as line:
        link = line.run(associate(Association(password=PASSWORD)))
        steps = transfer_image(link, IMAGE)
        step = next(steps)
        while len(pauses) < 10:
            if isinstance(step, Pause):
                pauses.append(step)
                step = steps.send(None)
            else:
                step = steps.send(line.run(step))
        steps.close()
    with Line(port, READER) as line:
        link = line.run(associate(Association(password=PASSWORD)))
        state = line.run(read_image_state(link))
        assert (state.status, state.first_missing) == (Status.INITIATED, 10)
        assert state.missing(24) == tuple(range(10, 24))
        done = run_steps(transfer_image(link, IMAGE, resume=True), line.run, pauses.append)
        assert (done.blocks, done.sent) == (24, 14)
        assert run_steps(activate_image(link, IMAGE), line.run, pauses.append) is Activation.ACTIVATED
        line.run(release())
    assert [pause.doing for pause in pauses if pause.seconds] == ["verification"]


def test_image_with_another_signature_is_not_activated(line: Line, link: Associated) -> None:
    forged = Image(IMAGE.identifier, FIRMWARE, bytes(32))
    with pytest.raises(PeerError, match="not the image that was sent") as raised:
        run_steps(transfer_image(link, forged), line.run, lambda _: None)
    assert raised.value.code == "peer-state"


def test_a_block_that_the_meter_refuses(line: Line, link: Associated) -> None:
    with pytest.raises(PeerError, match="type-unmatched") as raised:
        line.run(send_block(link, IMAGE, 0, 100))
    assert raised.value.code == "peer-action"


def test_water_meter(line: Line, link: Associated) -> None:
    (device,) = line.run(read_mbus_devices(link))
    assert (device.identification, device.manufacturer, device.medium, device.key_state) == (
        "87654321",
        "KAM",
        "water",
        "none",
    )
    line.run(capture(link, 1))
    line.run(set_key(link, 1, bytes(16)))
    device = line.run(read_mbus_device(link, 1))
    assert (device.access_number, device.key_state) == (1, "set")


def test_keys_are_changed_and_proven(port: int) -> None:
    state = advance(KeyState.PENDING, KeyEvent.SEND)
    assert NEW.ak is not None
    with secured(port, OLD) as line:
        link = line.associate()
        setup = line.run(read_security_setup(link))
        assert (setup.suite, setup.client_title, setup.server_title) == (0, TITLE, b"HES\0\0\0\0\1")
        keys = [NewKey(KeyKind.UNICAST, NEW.ek), NewKey(KeyKind.AUTHENTICATION, NEW.ak)]
        line.run(transfer_keys(link, keys, MASTER))
        state = advance(state, KeyEvent.ACCEPTED)
    with secured(port, NEW) as line:
        line.associate()
        state = advance(state, KeyEvent.NEW_WORKS)
    assert state is KeyState.ACTIVATED
    with secured(port, OLD) as line, pytest.raises(DlmsError):
        line.associate()


def test_keys_under_another_master_key_are_refused_and_the_old_ones_hold(port: int) -> None:
    state = advance(KeyState.PENDING, KeyEvent.SEND)
    with secured(port, OLD) as line:
        link = line.associate()
        with pytest.raises(PeerError) as raised:
            line.run(transfer_keys(link, [NewKey(KeyKind.UNICAST, NEW.ek)], bytes(16)))
        assert raised.value.code == "peer-action"
        state = advance(state, KeyEvent.REFUSED)
    assert state is KeyState.PENDING
    with secured(port, OLD) as line:
        line.associate()
