from __future__ import annotations

from pathlib import Path

import pytest

from connectors.protocols.dlms.ciphering import Keys, decipher
from connectors.protocols.dlms.errors import FramingError
from connectors.protocols.dlms.framing import Apdu, Limits, PushStream, Refused, mbus

# The example that Netz Niederösterreich publishes in its description of the customer interface, with its key: Kaifa MA309M
PUBLISHED = bytes.fromhex(
    "68FAFA6853FF000167DB084B464D675000000981F8200000002388D5AB4F97515AAFC6B88D2F85DAA7A0E3C0C40D004535C397C9D037AB7D"
    "BDA329107615444894A1A0DD7E85F02D496CECD3FF46AF5FB3C9229CFE8F3EE4606AB2E1F409F36AAD2E50900A4396FC6C2E083F373233A6"
    "9616950758BFC7D63A9E9B6E99E21B2CBC2B934772CA51FD4D69830711CAB1F8CFF25F0A329337CBA51904F0CAED88D61968743C8454BA92"
    "2EB00038182C22FE316D16F2A9F544D6F75D51A4E92A1C4EF8AB19A2B7FEAA32D0726C0ED80229AE6C0F7621A4209251ACE2B2BC66FF0327"
    "A653BB686C756BE033C7A281F1D2A7E1FA31C3983E15F8FD16CC5787E6F517166814146853FF110167419A3CFDA44BE438C96F0E38BF83D9"
    "8316"
)
PUBLISHED_KEY = bytes.fromhex("36C66639E48A8CA4D6BC8B282A793BBB")


def part(payload: bytes, number: int, *, last: bool, source: int = 1, address: int = 0xFF) -> bytes:
    return mbus.long_frame(payload, number=number, last=last, source=source, destination=103, address=address)


def brief(items: list[Apdu | Refused]) -> list[bytes | str]:
    return [item.data if isinstance(item, Apdu) else item.code for item in items]


def read(*frames: bytes, limits: Limits | None = None) -> list[Apdu | Refused]:
    stream = PushStream(limits or Limits())
    return stream.feed(b"".join(frames)) + stream.close()


def test_capture(captures_dir: Path) -> None:
    octets = bytes.fromhex((captures_dir / "dlms-push" / "mbus_kmswest.hex").read_text())
    assert PushStream().feed(octets) == [Apdu(octets[9:-2], (octets,), "MBUS", 1, 103)]
    assert octets[9:-2].startswith(b"\xdb\x08ELSep\x00\x00\x01\x4d")


def test_published_two_frames() -> None:
    (apdu,) = read(PUBLISHED)
    assert isinstance(apdu, Apdu)
    assert (len(apdu.frames), b"".join(apdu.frames), apdu.source, apdu.destination) == (2, PUBLISHED, 1, 103)
    assert apdu.frames[1] == part(apdu.data[-15:], 1, last=True)
    opened = decipher(apdu.data, lambda title: Keys(PUBLISHED_KEY) if title == b"KFMgP\x00\x00\x09" else None)
    assert opened.plain.startswith(bytes.fromhex("0F8006870E0C07E5091B01092F0F00FF88800223090C07E5091B01092F0F00FF8880"))
    assert opened.plain.endswith(b"\x09\x0c181220000009")  # the meter's number, last in the description's table
    assert (opened.security, opened.invocation_counter) == (0x20, 0x23)


FIRST, MIDDLE, LAST = part(b"\x0fA", 0, last=False), part(b"B", 1, last=False), part(b"C", 2, last=True)
WHOLE = part(b"\x0f!", 0, last=True)
WRONG = WHOLE[:-2] + bytes((WHOLE[-2] ^ 1, 0x16))


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param([FIRST, MIDDLE, LAST], [b"\x0fABC"], id="in order"),
        pytest.param([FIRST, FIRST, MIDDLE, LAST], [b"\x0fABC"], id="repeated"),
        pytest.param([FIRST, LAST, WHOLE], ["frame-segmentation", "frame-segmentation", b"\x0f!"], id="middle missing"),
        pytest.param([MIDDLE, WHOLE], ["frame-segmentation", b"\x0f!"], id="first missing"),
        pytest.param([FIRST, WHOLE], ["frame-segmentation", b"\x0f!"], id="another message"),
        pytest.param([FIRST, part(b"B", 1, last=True, source=2)], ["frame-segmentation"] * 2, id="another sender"),
        pytest.param([FIRST], ["frame-truncated"], id="last never comes"),
        pytest.param([WRONG, WHOLE], ["frame-checksum", b"\x0f!"], id="checksum"),
        pytest.param([WHOLE[:-1] + b"\x17", WHOLE], ["frame-malformed", b"\x0f!"], id="no stop"),
        pytest.param([bytes.fromhex("680808687208720102030405FB16"), WHOLE], ["frame-malformed", b"\x0f!"], id="CI 72"),
        pytest.param([bytes.fromhex("6805056853FF1001" "67CA16"), WHOLE], ["frame-malformed", b"\x0f!"], id="no APDU"),
        pytest.param([bytes.fromhex("6802026853FF5216"), WHOLE], ["frame-truncated", b"\x0f!"], id="length 2 is 258"),
        pytest.param([b"\x68\x08\x09\x68", WHOLE], ["frame-garbage", b"\x0f!"], id="lengths differ"),
        pytest.param([b"\x10\x40\xf0\x30\x16", WHOLE], ["frame-garbage", b"\x0f!"], id="short frame before"),
        pytest.param([WHOLE[:-1]], ["frame-truncated"], id="cut off"),
    ],
)  # fmt: skip
def test_segments(frames: list[bytes], expected: list[bytes | str]) -> None:
    assert brief(read(*frames)) == expected


def test_sequence_wraps_at_16() -> None:
    frames = [part(b"\x0f" if n == 0 else bytes((n,)), n, last=n == 19) for n in range(20)]
    assert brief(read(*frames)) == [b"\x0f" + bytes(range(1, 20))]


def test_endless_segments_are_refused() -> None:
    stream = PushStream(Limits(max_frames=4))
    items = stream.feed(b"".join(part(b"\x0f", n, last=False) for n in range(16)))
    assert brief(items)[0] == "frame-oversized"
    assert stream.buffered < 100


def test_one_address_is_acknowledged() -> None:
    stream = PushStream()
    assert stream.feed(part(b"\x0f", 0, last=False, address=5)) == []
    assert stream.take_replies() == b"\xe5"
    (apdu,) = stream.feed(part(b"\x01", 1, last=True, address=5))
    assert isinstance(apdu, Apdu)
    assert (apdu.confirm, stream.take_replies()) == (b"\xe5", b"")


def test_too_long_to_build() -> None:
    with pytest.raises(FramingError) as caught:
        part(bytes(251), 0, last=True)
    assert caught.value.code == "frame-oversized"
