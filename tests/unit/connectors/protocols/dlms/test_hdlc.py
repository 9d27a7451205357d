from __future__ import annotations

from pathlib import Path

import pytest
from gurux_dlms import GXDLMSClient
from gurux_dlms._GXFCS16 import _GXFCS16
from gurux_dlms.enums import Authentication, DataType, InterfaceType
from gurux_dlms.objects import GXDLMSData
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.errors import FramingError
from connectors.protocols.dlms.framing import Apdu, Limits, PushStream, Refused, hdlc

CLIENT, METER = hdlc.address(16, 1), hdlc.address(145, 2)
LLC = hdlc.LLC_FROM_SERVER


def ui(information: bytes, *, segmented: bool = False, source: bytes = METER) -> bytes:
    return hdlc.frame(CLIENT, source, hdlc.UI, information, segmented=segmented)


def numbered(n: int, information: bytes, *, segmented: bool = False) -> bytes:
    return hdlc.frame(CLIENT, METER, n << 1 | hdlc.POLL, information, segmented=segmented)


def read(*frames: bytes, limits: Limits | None = None) -> list[Apdu | Refused]:
    stream = PushStream(limits or Limits())
    return stream.feed(b"".join(frames)) + stream.close()


def brief(items: list[Apdu | Refused]) -> list[bytes | str]:
    return [item.data if isinstance(item, Apdu) else item.code for item in items]


# -- checksums --------------------------------------------------------------------------------------------------------


def test_crc_check_value() -> None:
    assert hdlc.crc16_x25(b"123456789") == bytes.fromhex("6E90")  # 0x906E, the catalogue's check value of CRC-16/IBM-SDLC


@given(st.binary(max_size=300))
def test_crc_agrees_with_gurux(data: bytes) -> None:
    expected: int = _GXFCS16.countFCS16(bytearray(data), 0, len(data))
    assert hdlc.crc16_x25(data) == expected.to_bytes(2, "big")


# -- addresses and frames ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "size", "octets"),
    [
        pytest.param(16, 1, "21", id="public client"),
        pytest.param(1 << 7 | 17, 2, "0223", id="logical 1, physical 17 (Iskra)"),
        pytest.param(0x3FFF, 2, "FEFF", id="all stations"),
        pytest.param(1 << 14 | 17, 4, "00020023", id="four octets"),
    ],
)
def test_address(value: int, size: int, octets: str) -> None:
    assert hdlc.address(value, size) == bytes.fromhex(octets)
    assert hdlc.address_value(bytes.fromhex(octets)) == value


@pytest.mark.parametrize(("value", "size"), [(128, 1), (1, 3), (-1, 1), (1 << 28, 4)])
def test_address_refused(value: int, size: int) -> None:
    with pytest.raises(FramingError) as caught:
        hdlc.address(value, size)
    assert caught.value.code == "frame-malformed"


def test_frame_too_long() -> None:
    with pytest.raises(FramingError) as caught:
        ui(bytes(2048))
    assert caught.value.code == "frame-oversized"


@given(
    st.sampled_from([1, 2, 4]),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 127),
    st.integers(0, 255),
    st.binary(max_size=99),
    st.booleans(),
)
def test_frame_parses_to_itself(to: int, by: int, value: int, control: int, information: bytes, segmented: bool) -> None:
    octets = hdlc.frame(hdlc.address(value, to), hdlc.address(value, by), control, information, segmented=segmented)
    parsed = hdlc.parse(octets)
    assert (parsed.control, parsed.information, parsed.segmented, parsed.octets) == (control, information, segmented, octets)
    assert hdlc.address_value(parsed.destination) == hdlc.address_value(parsed.source) == value
    assert len(parsed.destination) == to
    assert len(parsed.source) == by


@given(st.binary(max_size=40))
def test_parse_raises_nothing_else(octets: bytes) -> None:
    with pytest.raises(FramingError):
        hdlc.parse(b"\x7e\xa0" + octets + b"\x00\x7e" * 2)


def gurux_frames(size: int) -> list[bytes]:
    """What gurux-dlms sends for a set-request of `size` octets in frames of at most 64."""
    client = GXDLMSClient(True, 16, 145, Authentication.NONE, None, InterfaceType.HDLC)
    client.hdlcSettings.maxInfoTX = 64
    thing = GXDLMSData("0.0.1.0.0.255")
    thing.value = bytes(range(size))
    thing.setDataType(2, DataType.OCTET_STRING)
    return [bytes(frame) for frame in client.write(thing, 2)]


def test_gurux_frames_are_built_alike() -> None:
    for octets in gurux_frames(200):
        parsed = hdlc.parse(octets)
        again = hdlc.frame(parsed.destination, parsed.source, parsed.control, parsed.information, segmented=parsed.segmented)
        assert again == octets


def test_gurux_i_frames_are_reassembled_and_acknowledged() -> None:
    frames = gurux_frames(200)
    stream = PushStream()
    (apdu,) = stream.feed(b"".join(frames))
    assert isinstance(apdu, Apdu)
    assert apdu.data == bytes.fromhex("C101C1000100000100 00FF0200 0981C8") + bytes(range(200))
    assert (apdu.source, apdu.destination, apdu.frames) == (16, 145, tuple(frames))
    ready = [hdlc.parse(octets) for octets in _split(stream.take_replies())] + [hdlc.parse(apdu.confirm)]
    assert [frame.control for frame in ready] == [0x31, 0x51, 0x71, 0x91]  # RR, final, N(R) 1 to 4
    assert {(frame.destination, frame.source) for frame in ready} == {
        (hdlc.parse(frames[0]).source, hdlc.parse(frames[0]).destination)
    }
    assert stream.take_replies() == b""


def _split(octets: bytes) -> list[bytes]:
    found = []
    while octets:
        length = int.from_bytes(octets[1:3], "big") & 0x7FF
        found.append(octets[: length + 2])
        octets = octets[length + 2 :]
    return found


# -- captures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "confirm"),
    [
        pytest.param("hdlc_iskra550", [(145, 103, 3, "0f000026eb0c07e7", 340)], "", id="iskra: three UI segments"),
        pytest.param(
            "hdlc_kaifa_ma304h3e", [(128, 0, 1, "0f40000000090c07", 108)], "7ea0080201013115777e", id="kaifa: I-frame, RR"
        ),
        pytest.param("hdlc_kamstrup_omnipower", [(1, 32, 1, "db084b414d450134", 477)], "", id="kamstrup: ciphered"),
        pytest.param(
            "hdlc_landis_gyr_e450",
            [
                (1, 13311, 1, "e0400001000077db", 126),
                (1, 13311, 1, "e040000200007a9b", 129),
                (1, 13311, 1, "e0c0000300001f9a", 38),
            ],
            "",
            id="e450: blocks, LLC in the first only",
        ),
        pytest.param("hdlc_norway_han_3phase", [(577, 32, 1, "0f40000000000 11b".replace(" ", ""), 566)], "", id="aidon"),
    ],
)
def test_capture(captures_dir: Path, name: str, shape: list[tuple[int, int, int, str, int]], confirm: str) -> None:
    octets = bytes.fromhex((captures_dir / "dlms-push" / f"{name}.hex").read_text())
    stream = PushStream()
    items = stream.feed(octets)
    assert [
        (i.source, i.destination, len(i.frames), i.data[:8].hex(), len(i.data)) for i in items if isinstance(i, Apdu)
    ] == shape
    assert all(isinstance(item, Apdu) and item.transport == "HDLC" and item.confirm.hex() == confirm for item in items)
    assert b"".join(frame for item in items if isinstance(item, Apdu) for frame in item.frames) == octets
    assert (stream.close(), stream.buffered) == ([], 0)


# -- segments ---------------------------------------------------------------------------------------------------------

FIRST, MIDDLE, LAST = ui(LLC + b"\x0fA", segmented=True), ui(b"BC", segmented=True), ui(b"DE")
WHOLE = ui(LLC + b"\x0f!")


def damaged(frame: bytes) -> bytes:
    return frame[:-4] + bytes((frame[-4] ^ 0x10,)) + frame[-3:]


SEGMENTATION, CHECKSUM, MALFORMED = "frame-segmentation", "frame-checksum", "frame-malformed"
I_FIRST, I_LAST = numbered(0, LLC + b"\x0fA", segmented=True), numbered(1, b"B")


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param([FIRST, MIDDLE, LAST], [b"\x0fABCDE"], id="in order"),
        pytest.param([FIRST, WHOLE], [SEGMENTATION, b"\x0f!"], id="another message begins"),
        pytest.param(
            [FIRST, ui(b"\x0f2", source=CLIENT), LAST], [SEGMENTATION, b"\x0f2", SEGMENTATION], id="another sender"
        ),
        pytest.param([MIDDLE, LAST, WHOLE], [SEGMENTATION, SEGMENTATION, b"\x0f!"], id="first one missing"),
        # what remains of a message is none, also where it looks like a push
        pytest.param([FIRST, damaged(MIDDLE), LAST, WHOLE], [CHECKSUM, SEGMENTATION, SEGMENTATION, b"\x0f!"], id="damaged"),
        pytest.param([damaged(FIRST), ui(b"\x0fX"), WHOLE], [CHECKSUM, SEGMENTATION, b"\x0f!"], id="first one damaged"),
        pytest.param([damaged(WHOLE), WHOLE], [CHECKSUM, b"\x0f!"], id="checksum"),
        pytest.param([FIRST, MIDDLE], ["frame-truncated"], id="last one never comes"),
        pytest.param([ui(LLC)], [MALFORMED], id="LLC and no more"),
        pytest.param([ui(b"\x0f")], [b"\x0f"], id="no LLC (E450)"),
        pytest.param([hdlc.frame(CLIENT, METER, hdlc.SNRM | hdlc.POLL), WHOLE], [MALFORMED, b"\x0f!"], id="SNRM"),
        pytest.param([hdlc.frame(CLIENT, METER, 0x11), WHOLE], [MALFORMED, b"\x0f!"], id="RR"),
        pytest.param([I_FIRST, I_LAST], [b"\x0fAB"], id="I-frames"),
        pytest.param([I_FIRST, numbered(2, b"B")], [SEGMENTATION] * 2, id="I-frame skipped"),
        pytest.param([numbered(7, b"\x0fA", segmented=True), numbered(0, b"B")], [b"\x0fAB"], id="I-frames wrap at 8"),
        pytest.param([I_FIRST, I_FIRST, I_LAST], [b"\x0fAB"], id="I-frame repeated"),
        pytest.param([I_FIRST, damaged(I_LAST), I_LAST], [CHECKSUM, b"\x0fAB"], id="I-frame damaged and repeated"),
    ],
)
def test_segments(frames: list[bytes], expected: list[bytes | str]) -> None:
    assert brief(read(*frames)) == expected


def test_refused_segments_keep_all_their_octets() -> None:
    refused = read(FIRST, MIDDLE, WHOLE)[0]
    assert isinstance(refused, Refused)
    assert refused.data == FIRST + MIDDLE


@pytest.mark.parametrize(
    "limits", [pytest.param(Limits(max_apdu=60), id="octets"), pytest.param(Limits(max_frames=3), id="frames")]
)
def test_endless_segments_are_refused(limits: Limits) -> None:
    stream = PushStream(limits)
    items = stream.feed(FIRST + MIDDLE * 50)
    assert "frame-oversized" in brief(items)
    assert stream.buffered <= 100
    assert brief(stream.feed(LAST + WHOLE)) == ["frame-segmentation", b"\x0f!"]


# -- the stream -------------------------------------------------------------------------------------------------------


def test_shared_flag_and_fill() -> None:
    assert brief(read(b"\x7e\x7e", WHOLE, WHOLE[1:], b"\x7e\x7e", WHOLE)) == [b"\x0f!"] * 3


def test_flag_inside_frame_and_checksum() -> None:
    frames = [ui(LLC + b"\x0f" + bytes((n, 0x7E, 0xA0, 0x7E)) + bytes(n % 5)) for n in range(256)]
    frames += [ui(LLC + b"\x0f" + n.to_bytes(2, "big"), source=hdlc.address(n, 2)) for n in range(2000)]
    assert any(0x7E in octets[-3:-1] for octets in frames)
    assert any(0x7E in octets[7:9] for octets in frames)  # HCS
    items = read(*frames)
    assert all(isinstance(item, Apdu) for item in items)
    assert len(items) == len(frames)


def test_header_checksum_is_looked_at() -> None:
    octets = bytearray(WHOLE)
    octets[7] ^= 1  # HCS, and an FCS that is right again
    octets[-3:-1] = hdlc.crc16_x25(bytes(octets[1:-3]))
    (refused,) = read(bytes(octets))
    assert isinstance(refused, Refused)
    assert refused.code == "frame-checksum"
    assert "HCS" in refused.detail


@pytest.mark.parametrize(
    "noise",
    [
        pytest.param(b"AT+OK\r\n", id="modem's text"),
        pytest.param(b"\x7e\xa7\xff" + bytes(30), id="a length that announces the frames behind it"),
        pytest.param(WHOLE[:-4] + b"\x7e", id="octets lost inside a frame"),
        pytest.param(WHOLE[:9], id="frame cut off"),
        pytest.param(b"\x7e\xa0\x03" + bytes(9), id="length too short"),
    ],
)
def test_next_frame_is_found(noise: bytes) -> None:
    items = read(noise, WHOLE, WHOLE)
    assert brief(items)[-2:] == [b"\x0f!"] * 2
    assert not any(isinstance(item, Apdu) for item in items[:-2])
    assert 1 <= len(items) - 2 <= 2


def test_cut_off_at_every_octet() -> None:
    for end in range(2, len(WHOLE) - 1):
        assert brief(read(WHOLE[:end])) == ["frame-truncated"], end


def test_without_the_flag_that_closes_it_the_last_frame_is_whole_by_its_checksums() -> None:
    assert brief(read(WHOLE[:-1])) == brief(read(WHOLE))
    assert brief(read(WHOLE[:-2] + bytes((WHOLE[-2] ^ 1,)))) == ["frame-truncated"]
