"""A meter that speaks general-ciphering, its keys global, wrapped or agreed on: AES-GCM and curves are gurux', the order of
octets is written here.
"""

from __future__ import annotations

import secrets
from typing import Any

from cryptography.hazmat.primitives.keywrap import aes_key_unwrap, aes_key_wrap
from gurux_dlms.enums import Security
from gurux_dlms.GXDLMSChipperingStream import GXDLMSChipperingStream

from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter
from tests.unit.connectors.protocols.dlms.secure_meter import EXCEPTION_CIPHERING, CurvePair, SecureMeter
from tests.unit.connectors.protocols.dlms.test_key_agreement import kdf

GENERAL_CIPHERING = 0xDD


class GeneralMeter(SecureMeter):
    """With key pairs of its own, and the client's."""

    def __init__(self, inner: GuruxMeter, *, suite: int, **more: Any) -> None:
        size = 32 if suite == 2 else 16
        super().__init__(inner, ek=bytes(range(size)), ak=bytes(range(0xD0, 0xD0 + size)), suite=suite, **more)
        self.kek = bytes(range(0x40, 0x40 + size))
        if suite:
            self.signing, self.agreement, self.client_signing, self.client_agreement = (CurvePair(suite) for _ in range(4))
            self.pair, self.client_point = self.signing, self.client_signing.point
        self.infos: set[bytes] = set()
        """How the keys of requests were told: the first octets of their key-infos."""

    def _answer(self, apdu: bytes) -> bytes:
        if apdu[0] != GENERAL_CIPHERING:
            return super()._answer(apdu)
        assert apdu[1:2] + apdu[10:11] + apdu[19:20] + apdu[28:30] == b"\x08\x08\x08\0\0"
        transaction, originator, recipient = apdu[2:10], apdu[11:19], apdu[20:28]
        assert (originator, recipient) == (self.client, self.title)
        info, content = self._cut(apdu[30:])
        self.infos.add(info[:4])
        key = self._key(info, transaction)
        plain = self._gcm(key, content[:1], content[1:5], originator, apdu[1:30], content[5:-12])[0]
        if self._gcm(key, content[:1], content[1:5], originator, apdu[1:30], plain)[1] != content[-12:]:
            return EXCEPTION_CIPHERING
        return self._general(self._service(plain), transaction, info)

    def _cut(self, octets: bytes) -> tuple[bytes, bytes]:
        """Key-info without its presence, and the content."""
        assert octets[0] == 1
        if octets[1:3] == b"\0\0":
            at = 3
        elif octets[1:3] == b"\1\0":
            at = 4 + octets[3]
        elif octets[1:4] == b"\2\1\2":
            assert octets[4] == 0
            at = 5
        else:
            assert octets[1:4] == b"\2\1\1"
            assert octets[4] in (0x81, 0x82) or octets[4] < 0x80
            at = 6 + octets[5] if octets[4] == 0x81 else 5 + octets[4]
        info = octets[1:at]
        size = octets[at]
        at += 1 if size < 0x80 else 1 + (size & 0x7F)
        return info, octets[at:]

    def _key(self, info: bytes, transaction: bytes) -> bytes:
        """The key that a request says it is under."""
        titles = self.client + self.title
        if info[0] == 0:
            return self.ek
        if info[0] == 1:
            return aes_key_unwrap(self.kek, info[3:])
        if info[2] == 2:
            nonced = self.client + b"\x08" + transaction + self.title
            return bytes(kdf(self.suite, self.agreement.agree(self.client_agreement.point), nonced))
        offered = info[5 if info[3] == 0x81 else 4 :]
        half = self.signing.half
        point, signature = offered[: 2 * half], offered[2 * half :]
        assert self.signing.verified(point, signature, self.client_signing.point)
        return bytes(kdf(self.suite, self.agreement.agree(point), titles))

    def _general(self, plain: bytes, transaction: bytes, asked: bytes) -> bytes:
        """An answer, its key told as the request's was."""
        titles = self.title + self.client
        counter = bytes(4)
        if asked[0] == 0:
            self.counter += 1
            key, info, counter = self.ek, b"\0\0", self.counter.to_bytes(4, "big")
        elif asked[0] == 1:
            key = secrets.token_bytes(len(self.ek))
            wrapped = aes_key_wrap(self.kek, key)
            info = b"\1\0" + bytes((len(wrapped),)) + wrapped
        elif asked[2] == 2:
            nonced = self.title + b"\x08" + transaction + self.client
            key, info = kdf(self.suite, self.agreement.agree(self.client_agreement.point), nonced), b"\2\1\2\0"
        else:
            pair = CurvePair(self.suite)
            key = kdf(self.suite, pair.agree(self.client_agreement.point), titles)
            offered = pair.point + self.signing.sign(pair.point)
            info = b"\2\1\1\x81" + bytes((len(offered),)) + offered
        head = b"\x08" + transaction + b"\x08" + self.title + b"\x08" + self.client + b"\0\0"
        security = bytes((self.policy | self.suite,))
        body, tag = self._gcm(bytes(key), security, counter, self.title, head, plain)
        content = security + counter + body + tag
        size = bytes((len(content),)) if len(content) < 0x80 else b"\x82" + len(content).to_bytes(2, "big")
        return bytes((GENERAL_CIPHERING,)) + head + b"\x01" + info + size + content

    def _gcm(
        self, key: bytes, security: bytes, counter: bytes, title: bytes, head: bytes, text: bytes
    ) -> tuple[bytes, bytes]:
        """Text and tag."""
        additional = security + self.ak + head
        gcm = GXDLMSChipperingStream(Security.AUTHENTICATION_ENCRYPTION, True, key, additional, title + counter, None)
        gcm.write(text)
        return bytes(gcm.flushFinalBlock()), bytes(gcm.tag)
