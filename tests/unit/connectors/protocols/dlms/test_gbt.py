from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.ciphering import Keys, decipher
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.framing import PushStream
from connectors.protocols.dlms.gbt import Blocks, BlockTransferError

STREAMING, LAST = 0x40, 0x80


def block(number: int, part: bytes, control: int = STREAMING) -> bytes:
    size = bytes((len(part),)) if len(part) < 0x80 else b"\x82" + len(part).to_bytes(2, "big")
    return bytes((0xE0, control)) + number.to_bytes(2, "big") + bytes(2) + size + part


A, B, C = block(1, b"a"), block(2, b"b"), block(3, b"c", LAST | STREAMING)


def test_capture(captures_dir: Path) -> None:
    folder = captures_dir / "dlms-push"
    octets = bytes.fromhex((folder / "hdlc_landis_gyr_e450.hex").read_text())
    blocks = Blocks()
    *waiting, whole = [blocks.feed(item.data) for item in PushStream().feed(octets)]
    assert waiting == [None, None]
    assert whole is not None
    assert whole.startswith(b"\xdb\x08LGZgsp")
    assert blocks.buffered == 0
    keys = Keys(*(bytes.fromhex((folder / f"hdlc_landis_gyr_e450.{kind}").read_text()) for kind in ("guek", "gak")))
    assert decipher(whole, lambda _: keys).plain.startswith(b"\x0f\x00\x17\x7b\xca\x0c\x07\xe6")


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=20))
def test_blocks_make_the_apdu(parts: list[bytes]) -> None:
    blocks = Blocks()
    out = [blocks.feed(block(i, p, LAST if i == len(parts) else STREAMING)) for i, p in enumerate(parts, 1)]
    assert out == [None] * (len(parts) - 1) + [b"".join(parts)]


def test_what_is_no_block_passes() -> None:
    blocks = Blocks()
    assert [blocks.feed(apdu) for apdu in (A, b"\x0falarm", B, b"", C)] == [None, b"\x0falarm", None, b"", b"abc"]


def test_repeated_block_is_taken_once() -> None:
    blocks = Blocks()
    assert [blocks.feed(apdu) for apdu in (A, B, B, C)] == [None, None, None, b"abc"]


@pytest.mark.parametrize(
    ("apdus", "kept"),
    [
        pytest.param([A, C], (A, C), id="block missing"),
        pytest.param([B], (B,), id="first block missing"),
        pytest.param([A, B, block(2, b"x")], (A, B, block(2, b"x")), id="another block 2"),
        pytest.param([block(0, b"x")], (block(0, b"x"),), id="block 0"),
        pytest.param([A, b"\xe0\x40\x00\x02"], (A, b"\xe0\x40\x00\x02"), id="block cut off"),
        pytest.param([A, B[:-1]], (A, B[:-1]), id="content cut off"),
        pytest.param([A, B + b"!"], (A, B + b"!"), id="content too long"),
        pytest.param([block(1, b"", LAST)], (block(1, b"", LAST),), id="ended without content"),
    ],
)
def test_refused_and_reset(apdus: list[bytes], kept: tuple[bytes, ...]) -> None:
    blocks = Blocks()
    *before, wrong = apdus
    assert [blocks.feed(apdu) for apdu in before] == [None] * len(before)
    with pytest.raises(BlockTransferError) as caught:
        blocks.feed(wrong)
    assert (caught.value.code, caught.value.blocks, caught.value.whole) == ("block-transfer", kept, None)
    assert blocks.buffered == 0
    assert [blocks.feed(apdu) for apdu in (A, B, C)] == [None, None, b"abc"]


def test_block_1_begins_the_next() -> None:
    blocks = Blocks()
    blocks.feed(A)
    with pytest.raises(BlockTransferError) as caught:
        blocks.feed(block(1, b"x"))
    assert caught.value.blocks == (A,)
    assert [blocks.feed(apdu) for apdu in (B, C)] == [None, b"xbc"]


def test_single_block_in_between_is_not_lost() -> None:
    blocks = Blocks()
    blocks.feed(A)
    with pytest.raises(BlockTransferError) as caught:
        blocks.feed(block(1, b"x", LAST))
    assert (caught.value.blocks, caught.value.whole) == ((A,), b"x")
    assert blocks.buffered == 0


@pytest.mark.parametrize(
    "blocks", [pytest.param(Blocks(max_apdu=1000), id="octets"), pytest.param(Blocks(max_blocks=10), id="blocks")]
)
def test_endless_blocks_are_refused(blocks: Blocks) -> None:
    with pytest.raises(BlockTransferError, match="beyond the limit"):  # noqa: PT012 - which block it is does not matter
        for number in range(1, 12):
            blocks.feed(block(number, bytes(100)))
    assert blocks.buffered == 0


def test_close() -> None:
    blocks = Blocks()
    blocks.close()
    blocks.feed(A)
    with pytest.raises(BlockTransferError) as caught:
        blocks.close()
    assert caught.value.blocks == (A,)
    blocks.close()


@given(st.lists(st.binary(max_size=20).map(lambda b: b"\xe0" + b), max_size=10))
def test_nothing_else_is_raised(apdus: list[bytes]) -> None:
    blocks = Blocks(max_apdu=50)
    for apdu in apdus:
        try:
            blocks.feed(apdu)
        except DlmsError as error:
            assert error.code == "block-transfer"  # noqa: PT017 - it may also be right
        assert blocks.buffered <= 50
