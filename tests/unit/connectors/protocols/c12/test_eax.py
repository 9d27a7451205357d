"""EAX' against published vectors, and the weakness that its policy is there for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.c12 import eax

# "EAX' Cipher Mode (May 2011)" by Moise, Beroset, Phinney and Burns, submitted to NIST: its four test vectors.
VECTORS = {
    "1": (
        "01020304050607080102030405060708",
        (
            "a20c060a607c86f7540116001702a703020104a803020102ac0fa20da00ba109800102810448e99388be19281781159aa60d060b607c86f754"
            "0116001782110248e99388"
        ),
        "54454d500b40000700051a00000200e4",
        "4031cc957d4edf9a357f3db0fa9fe838",
        "6555c029",
    ),
    "2": (
        "01020304050607080102030405060708",
        (
            "a20c060a607c86f7540116007b02a703020104a803020102ac0fa20da00ba109800102810448f3d2f8be19281781159aa60d060b607c86f754"
            "0116007b82110248f3d2f8"
        ),
        "54454d500b40000700051a00000200e4",
        "8d2fbb7a0a8c4d40edaa10a46431c9b8",
        "fec6d9e8",
    ),
    "3": (
        "102030405060708090a0b0c0d0e0f000",
        (
            "a20e060c6086480186fc2f811caa4e01a806020439a00ebbac0fa20da00ba10980010081044bcee2c3be252823812188a60a06082b06010401"
            "828563004bcee2c3"
        ),
        "17513030303030303030303030303030303030303030000003300001",
        "9cf32c7ec24c250be7b0749feee71a220d0eee976ec23dbf0caa08ea",
        "00543e66",
    ),
    "4": (
        "6624c7e23034e4036fe5cb3a8b5dab44",
        (
            "a211060f2b060104018285638e7f85f1c24e01a80602042bc81aa1ac0fa20da00ba10980010081044b97d2ccbe392837813588a60906072b06"
            "0104828563004b97d2cc"
        ),
        "1751303030303030303030303030303030303030303000000330000103300078033000790330007a0330007b0330007d",
        "beb0989fadb020eb72ba46353cc0a2ac2a007a101afebaf9680d3b9659f991121b865f254f6ac92cdd213d31e3c4d2ca",
        "e6f89b6d",
    ),
}
CASES = [pytest.param(*map(bytes.fromhex, vector), id=name) for name, vector in VECTORS.items()]
KEY = bytes(range(16))


@pytest.mark.parametrize(("key", "header", "text", "enciphered", "tag"), CASES)
def test_published_vectors(key: bytes, header: bytes, text: bytes, enciphered: bytes, tag: bytes) -> None:
    assert eax.encipher(key, header, text) == (enciphered, tag)
    assert eax.decipher(key, header, enciphered, tag) == text


@pytest.mark.parametrize(("key", "header", "text", "enciphered", "tag"), CASES)
def test_one_flipped_bit_fails_wherever_it_is(key: bytes, header: bytes, text: bytes, enciphered: bytes, tag: bytes) -> None:
    given_parts = (key, header, enciphered, tag)
    for part in range(4):
        for bit in range(8 * len(given_parts[part])):
            changed = list(given_parts)
            changed[part] = flipped(changed[part], bit)
            assert eax.decipher(*changed) is None, (part, bit)


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=80), st.binary(max_size=80))
def test_what_is_enciphered_is_deciphered(key: bytes, header: bytes, text: bytes) -> None:
    enciphered, tag = eax.encipher(key, header, text)
    assert (len(enciphered), len(tag)) == (len(text), eax.TAG)
    assert eax.decipher(key, header, enciphered, tag) == text


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=80))
def test_a_header_alone_is_authenticated(key: bytes, header: bytes) -> None:
    tag = eax.authenticate(key, header)
    assert eax.decipher(key, header, b"", tag) == b""
    assert eax.decipher(key, header + b"\0", b"", tag) is None


@pytest.mark.parametrize("key", [KEY, b"another key of16"])
@pytest.mark.parametrize("text", [b"x", b"fifteen octets.", bytes(7)])
def test_short_ones_are_forged_without_the_key(text: bytes, key: bytes) -> None:
    """Minematsu, Lucks, Morita, Iwata 2013: a header of one block that is the padded ciphertext has the tag 0."""
    header = (text + b"\x80").ljust(eax.SHORT, b"\0")
    assert eax.decipher(key, header, text, bytes(eax.TAG)) is not None
    assert eax.decipher(key, header + header, text, bytes(eax.TAG)) is None


@pytest.mark.parametrize("size", [0, 15, 17, 24, 32])
def test_a_key_has_sixteen_octets(size: int) -> None:
    with pytest.raises(ValueError, match="16 octets"):
        eax.encipher(bytes(size), b"header", b"text")


def flipped(octets: bytes, bit: int) -> bytes:
    out = bytearray(octets)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)
