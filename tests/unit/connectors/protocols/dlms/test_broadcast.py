"""Image blocks to all meters at once, held against gurux' client (the request) and gurux' ciphering (what protects it)."""

from __future__ import annotations

from typing import Any

import pytest
from gurux_dlms import GXByteBuffer, GXDLMSClient
from gurux_dlms.AesGcmParameter import AesGcmParameter
from gurux_dlms.enums import Authentication, InterfaceType, Priority, Security, ServiceClass
from gurux_dlms.GXDLMSChippering import GXDLMSChippering
from gurux_dlms.objects import GXDLMSImageTransfer
from gurux_dlms.objects.enums import SecuritySuite

from connectors.protocols.dlms.action import Method
from connectors.protocols.dlms.broadcast import block_to_all, group_keys, protected, unconfirmed_action
from connectors.protocols.dlms.ciphering import Deciphered, Keys, decipher
from connectors.protocols.dlms.errors import CipherError, DecodeError
from connectors.protocols.dlms.framing.wrapper import pack
from connectors.protocols.dlms.objects.image_transfer import IMAGE, Image

TITLE = bytes.fromhex("4845530000000001")
EK, KEY, AK = bytes(range(16)), bytes(range(0x20, 0x30)), bytes(range(0xD0, 0xE0))
DATA = bytes(n * 7 % 251 for n in range(300))
FIRMWARE = Image(b"FW-1.5", DATA)


def gurux_blocks(size: int) -> list[bytes]:
    """Wrapper frames of gurux' client in the pre-established association, to all stations."""
    client = GXDLMSClient(True, 102, 127, Authentication.NONE, None, InterfaceType.WRAPPER)
    client.settings.serviceClass, client.settings.priority = ServiceClass.UN_CONFIRMED, Priority.NORMAL
    item = GXDLMSImageTransfer(IMAGE)
    item.imageBlockSize = size
    frames: list[list[Any]] = item.imageBlockTransfer(client, DATA, None)
    return [bytes(parts[0]) for parts in frames]


@pytest.mark.parametrize("size", [64, 100, 128, 200], ids=str)
def test_blocks_are_those_of_gurux_client(size: int) -> None:
    theirs = gurux_blocks(size)
    ours = [pack(102, 127, block_to_all(FIRMWARE, number, size, IMAGE)) for number in range(len(theirs))]
    for mine, other in zip(ours, theirs, strict=True):
        # invoke-ids are each client's own; nobody answers by them
        assert (mine[:10], mine[10] & 0xF0, mine[11:]) == (other[:10], other[10] & 0xF0, other[11:])
        assert not mine[10] & 0x40


@pytest.mark.parametrize("number", [-1, 3])
def test_a_block_that_is_none(number: int) -> None:
    with pytest.raises(DecodeError, match="beyond"):
        block_to_all(FIRMWARE, number, 128, IMAGE)


def test_an_action_without_a_parameter() -> None:
    octets = unconfirmed_action(Method(70, "0.0.96.3.10.255", 1), invoke_id=0x13)
    assert octets.hex() == "c301030046000060030aff0100"


@pytest.mark.parametrize("suite", [0, 1, 2])
def test_protected_as_gurux_protects_what_is_for_all(suite: int) -> None:
    size = 32 if suite == 2 else 16
    key, ak = bytes(range(0x20, 0x20 + size)), bytes(range(0xC0, 0xC0 + size))
    apdu = block_to_all(FIRMWARE, 1, 128, IMAGE)
    asked = AesGcmParameter(0xDB, TITLE, key, ak)
    asked.security, asked.securitySuite = Security.AUTHENTICATION_ENCRYPTION, SecuritySuite(suite)
    asked.broadcast, asked.invocationCounter = True, 0x01020304
    assert protected(apdu, group_keys(key, ak, suite), TITLE, 0x01020304) == bytes(
        GXDLMSChippering.encryptAesGcm(asked, apdu)
    )


def test_security_control_says_under_which_key_and_a_meter_with_it_opens_it() -> None:
    apdu = block_to_all(FIRMWARE, 0, 128, IMAGE)
    octets = protected(apdu, group_keys(KEY, AK, 0), TITLE, 7)
    assert octets[:11] == b"\xdb\x08" + TITLE + bytes((0x81,))
    meter = Keys(EK, AK, broadcast=KEY)
    assert decipher(octets, lambda _: meter) == Deciphered(apdu, TITLE, 7, 0x70)
    for other in (Keys(EK, AK), Keys(EK, AK, broadcast=EK), Keys(EK, EK, broadcast=KEY)):
        with pytest.raises(CipherError):
            decipher(octets, lambda _, held=other: held)  # type: ignore[misc]  # of a lambda with a default
    with pytest.raises(CipherError):
        decipher(octets[:-1] + bytes((octets[-1] ^ 1,)), lambda _: meter)


def test_gurux_opens_it() -> None:
    """Its Python port takes SC's bit 6 for the broadcast key, and looks at no tag."""
    apdu = block_to_all(FIRMWARE, 0, 128, IMAGE)
    client = GXDLMSClient(True, 102, 127, Authentication.NONE, None, InterfaceType.WRAPPER)

    class Held:
        broadcastBlockCipherKey = KEY  # noqa: N815 - gurux's name

    client.settings.cipher = Held()
    opening = AesGcmParameter(0xDB, TITLE, EK, AK)
    opening.settings = client.settings
    octets = protected(apdu, group_keys(KEY, AK, 0), TITLE, 7)
    assert bytes(GXDLMSChippering.decryptAesGcm(client.settings, opening, GXByteBuffer(octets))) == apdu


def test_no_key_is_shown() -> None:
    keys = group_keys(KEY, AK, 0)
    assert repr(keys) == str(keys) == "Keys(ek=***, ak=***, broadcast=***)"
    with pytest.raises(ValueError, match="16") as caught:
        group_keys(KEY + KEY, AK, 0)
    assert KEY.hex() not in str(caught.value)
