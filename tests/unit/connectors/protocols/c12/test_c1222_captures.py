"""Captures of C12.22 decode completely (../shared/captures/c1222, whatever is there); the standard's example to the bit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.cli.telegrams import read
from connectors.protocols.c12 import acse
from connectors.protocols.c12.acse import Apdu
from connectors.protocols.c12.c1222_conversation import Conversation
from connectors.protocols.c12.c1222_framing import ApduStream, Framed, datagram
from connectors.protocols.c12.c1222_security import Policy, Seal, keyring, open_, seal
from connectors.protocols.c12.decode import View
from connectors.protocols.c12.epsem import Mode
from connectors.protocols.c12.errors import C12Error
from connectors.protocols.c12.titles import title
from tests.unit.connectors.protocols.c12.test_eax import VECTORS, flipped

EXAMPLE_8 = bytes.fromhex("0102030405060708") * 2
# Keys of the captures' own documents: the README of ../shared/captures, the EAX' paper's vector 4 (whose meter is the
# captured one's neighbour), and the counting one that its authors used elsewhere.
KEYS = keyring({("*", 2): EXAMPLE_8, ("1.3.6.1.4.1.33507.1919.12345678.0", 0): bytes.fromhex(VECTORS["4"][0]),
                ("1.3.6.1.4.1.33507.1919.22906.0", 0): bytes(range(16))})  # fmt: skip


def conversations(folder: Path) -> Iterator[tuple[str, list[bytes]]]:
    """The messages of each capture, one conversation a name, in the order of time and direction."""
    for path in sorted([*folder.glob("*.pcap"), *folder.glob("*.cap")]):
        found: defaultdict[str, list[bytes]] = defaultdict(list)
        for capture in read(str(path)):
            items = datagram(capture.data) if capture.datagram else ApduStream().feed(capture.data)
            assert all(isinstance(item, Framed) for item in items), path.name
            found[capture.name] += [item.octets for item in items if isinstance(item, Framed)]
        yield path.name, [octets for messages in found.values() for octets in messages]


@pytest.fixture(scope="module")
def captured(captures_dir: Path) -> dict[str, list[bytes]]:
    found = dict(conversations(captures_dir / "c1222"))
    assert len(found) >= 5
    return found


def test_every_capture_decodes_completely(captured: dict[str, list[bytes]]) -> None:
    for name, messages in captured.items():
        assert messages, name
        talk = Conversation(View(KEYS))
        for octets in messages:
            talk.learn(octets)
        for octets in messages:
            nodes = [node for _, node in talk.node(octets).walk()]
            assert not [node for node in nodes if node.name in ("error", "EPSEM ciphered", "octets")], name
            assert not [node for node in nodes if "unknown" in node.name + node.value], name
            assert [node for node in nodes if node.name in ("request", "response")], name
            assert acse.encode(acse.decode(octets)) == octets


def test_secured_captures_verify_and_are_made_the_same(captured: dict[str, list[bytes]]) -> None:
    """Sealed anew with their keys and IVs they are the same octets: canonical header, cipher and MAC are those of meters."""
    secured = 0
    for messages in captured.values():
        for octets in messages:
            opened = open_(octets, KEYS, either=True)
            if opened.key_id is None or opened.iv is None:
                continue
            secured += 1
            shown = opened.apdu
            meter = {each.absolute(Policy().base).text for each in (shown.calling, shown.called) if each}
            (key,) = {key for each in meter if (key := KEYS(each, opened.key_id))}
            bare = Apdu(shown.called, shown.calling, shown.calling_invocation, shown.called_invocation)
            assert seal(bare, opened.body, Seal(opened.mode, key, opened.key_id, opened.iv)) == octets
    assert secured >= 4


@pytest.fixture
def example(captured: dict[str, list[bytes]]) -> list[bytes]:
    return captured["c1222_std_example8.pcap"]


def test_the_standards_example_8(example: list[bytes]) -> None:
    request, answer = example
    asked, said = open_(request, KEYS), open_(answer, KEYS)
    assert asked.services == (b"\x51" + b"PASSWORD".ljust(20) + b"\x00\x02", bytes.fromhex("3f0001000010") + b"\x00\x10")
    assert said.services == (b"\x00\x00\x10MANUFACTURER SN \x92",)
    assert (asked.mode, asked.key_id, asked.short) == (Mode.CIPHERED, 2, False)
    assert (said.apdu.calling, said.apdu.called) == (title(".123.8437"), title(".123.4"))


@pytest.mark.parametrize("which", [0, 1], ids=["request", "answer"])
def test_one_flipped_bit_fails_wherever_it_is(example: list[bytes], which: int) -> None:
    octets = example[which]
    for bit in range(8 * len(octets)):
        with pytest.raises(C12Error):
            open_(flipped(octets, bit), KEYS, Policy(least=Mode.CIPHERED))


@pytest.mark.parametrize("key", [bytes(16), EXAMPLE_8[::-1], flipped(EXAMPLE_8, 0), flipped(EXAMPLE_8, 127)])
def test_another_key_fails(example: list[bytes], key: bytes) -> None:
    with pytest.raises(C12Error) as caught:
        open_(example[0], lambda _title, _id: key)
    assert caught.value.code == "c1222-authentication"
