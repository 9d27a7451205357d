"""A meter with security, put together of gurux-dlms' parts: its parser of AARQs, its AES-GCM, its hashes for high level
security, its curves. Its own server cannot do it in Python (it stumbles over its own names), so the order of things is
written here, and what is computed is computed there.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Any

from gurux_dlms import GXByteBuffer
from gurux_dlms._GXAPDU import _GXAPDU
from gurux_dlms.AesGcmParameter import AesGcmParameter
from gurux_dlms.ecdsa._GXShamirs import _GXShamirs
from gurux_dlms.ecdsa.enums.Ecc import Ecc
from gurux_dlms.ecdsa.GXCurve import GXCurve
from gurux_dlms.ecdsa.GXEccPoint import GXEccPoint
from gurux_dlms.ecdsa.GXPublicKey import GXPublicKey
from gurux_dlms.enums import Security
from gurux_dlms.GXCiphering import GXCiphering
from gurux_dlms.GXDLMSChippering import GXDLMSChippering
from gurux_dlms.GXDLMSException import GXDLMSException
from gurux_dlms.GXDLMSSettings import GXDLMSSettings
from gurux_dlms.GXSecure import GXSecure

from tests.unit.connectors.protocols.dlms.gurux_meter import GuruxMeter

CLIENT_TITLE, METER_TITLE = b"HES\0\0\0\0\1", b"MTR\0\0\0\0\2"
EXCEPTION_CIPHERING, EXCEPTION_COUNTER = bytes.fromhex("D8 01 05"), bytes.fromhex("D8 01 06")
PLAIN_AARQ = bytes.fromhex("60 1D A1 09 06 07 60 85 74 05 08 01 01 BE 10 04 0E 01 00 00 00 06 5F 1F 04 00 00 7E 1F FF FF")
REJECTED = bytes.fromhex("61 17 A1 09 06 07 60 85 74 05 08 01 01 A2 03 02 01 01 A3 05 A1 03 02 01 01")
REPLY_TO_HLS = bytes.fromhex("00 0F 00 00 28 00 00 FF 01")
SHORT_REPLY_TO_HLS = bytes.fromhex("05 01 04 FA 58 00 09")
"""As jDLMS' client asks it: FA00 and 58, read with a parameter."""
GENERAL_GLO, GENERAL_DED = 0xDB, 0xDC


def _dedicated(tag: int) -> bool:
    return 0xD0 <= tag < 0xD8 or tag == GENERAL_DED or 0x45 <= tag <= 0x58


def _user_information(aarq: bytes) -> bytes:
    """What the client initiates with: the octet string in the last field, BE. Titles and challenges may hold a BE, too."""
    at, _ = _content(aarq, 0)
    while aarq[at] != 0xBE:
        at = sum(_content(aarq, at))
    inner, _ = _content(aarq, at)
    start, size = _content(aarq, inner)
    return aarq[start : start + size]


def _content(octets: bytes, at: int) -> tuple[int, int]:
    """Where the content of the BER element at `at` begins, and how many octets it has."""
    size = octets[at + 1]
    if size < 0x80:
        return at + 2, size
    end = at + 2 + (size & 0x7F)
    return end, int.from_bytes(octets[at + 2 : end], "big")


class CurvePair:
    """A key pair whose arithmetic is gurux': ECDSA and Diffie-Hellman with P-256 or P-384."""

    def __init__(self, suite: int, number: int | None = None) -> None:
        self.half, self.hash = (32, hashlib.sha256) if suite == 1 else (48, hashlib.sha384)
        self.curve = GXCurve(Ecc.P256 if suite == 1 else Ecc.P384)
        self.number = number or secrets.randbelow(self.curve.n - 1) + 1
        self.public = self._times(self.curve.g, self.number)

    @property
    def octets(self) -> bytes:
        return self.number.to_bytes(self.half, "big")

    @property
    def point(self) -> bytes:
        return b"".join(int(n).to_bytes(self.half, "big") for n in (self.public.x, self.public.y))

    def sign(self, data: bytes) -> bytes:
        n, k = self.curve.n, secrets.randbelow(self.curve.n - 1) + 1
        r = int(self._times(self.curve.g, k).x) % n
        s = pow(k, -1, n) * (int.from_bytes(self.hash(data).digest(), "big") + self.number * r) % n
        return b"".join(part.to_bytes(self.half, "big") for part in (r, s))

    def verified(self, data: bytes, signature: bytes, point: bytes) -> bool:
        n, half = self.curve.n, self.half
        r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
        w = pow(s, -1, n)
        found = GXEccPoint(0, 0)
        u1, u2 = int.from_bytes(self.hash(data).digest(), "big") * w % n, r * w % n
        _GXShamirs.trick(self.curve, GXPublicKey.fromRawBytes(b"\x04" + point), found, u1, u2)
        same: bool = int(found.x) % n == r
        return same

    def agree(self, point: bytes) -> bytes:
        half = self.half
        theirs = GXEccPoint(int.from_bytes(point[:half], "big"), int.from_bytes(point[half:], "big"))
        return int(self._times(theirs, self.number).x).to_bytes(half, "big")

    def _times(self, point: GXEccPoint, k: int) -> GXEccPoint:
        out = GXEccPoint(0, 0)
        _GXShamirs.pointMulti(self.curve, out, point, k)
        return out


class SecureMeter:
    """`exchange` takes an APDU and gives the answer. `alter` may change each answer on its way: an attacker."""

    def __init__(
        self,
        inner: GuruxMeter,
        *,
        ek: bytes,
        ak: bytes,
        suite: int = 0,
        policy: int = 0x30,
        secret: bytes = b"",
        title: bytes = METER_TITLE,
    ) -> None:
        self.inner, self.suite, self.policy, self.secret, self.title = inner, suite, policy, secret, title
        self.ek, self.ak = ek, ak
        self.kek = b""
        self.broadcast = b""
        self.pair: CurvePair | None = None  # for signatures
        self.client_point = b""
        self.short: Callable[[bytes], bytes] | None = None  # with short names: what answers a read or write
        self.counter, self.fresh_counter, self.heard, self.fresh_heard = 100, 0, -1, -1
        self.client, self.dedicated, self.cs, self.sc, self.mechanism = b"", b"", b"", b"", 0
        self.requests: list[bytes] = []
        self.plain: list[bytes] = []
        self.answers: list[bytes] = []
        self.alter: Callable[[bytes], bytes] = lambda answer: answer
        self.alter_proof: Callable[[bytes], bytes] = lambda proof: proof

    def exchange(self, apdu: bytes) -> bytes:
        self.requests.append(apdu)
        self.answers.append(self.alter(self._answer(apdu)))
        return self.answers[-1]

    def _answer(self, apdu: bytes) -> bytes:
        if apdu[0] == 0x60:
            return self._associate(apdu)
        if apdu[0] == 0x62:
            return bytes.fromhex("63 03 80 01 00")
        if self.policy == 0:
            return self._service(apdu)
        try:
            plain = self.decipher(apdu)
        except ValueError as why:
            return EXCEPTION_COUNTER if str(why) == "counter" else EXCEPTION_CIPHERING
        answer = self._service(plain)
        if apdu[0] in (GENERAL_GLO, GENERAL_DED):
            return self.cipher(answer, apdu[0])
        steps = (0x08, 0x10) if self.short is None else (0x20, 0x40)
        return self.cipher(answer, answer[0] + steps[_dedicated(apdu[0])])

    def _service(self, plain: bytes) -> bytes:
        self.plain.append(plain)
        if self.short is not None:
            return self._reply_short(plain) if plain[:7] == SHORT_REPLY_TO_HLS else self.short(plain)
        if plain[0] == 0xC3 and plain[3:12] == REPLY_TO_HLS:
            return self._reply(plain)
        return self.inner.exchange(plain)

    # -- the association -----------------------------------------------------------------------------------------------

    def _associate(self, apdu: bytes) -> bytes:
        self.dedicated, self.fresh_counter, self.fresh_heard = b"", 0, -1
        settings = GXDLMSSettings(True, None)
        settings.setUseLogicalNameReferencing(self.short is None)
        settings.cipher = GXCiphering(self.title)
        settings.cipher.blockCipherKey, settings.cipher.authenticationKey = self.ek, self.ak
        settings.cipher.setDedicatedKey(None)
        try:
            _GXAPDU.parsePDU(settings, settings.cipher, GXByteBuffer(apdu), None)
        except GXDLMSException:
            return REJECTED
        self.client, self.mechanism = bytes(settings.sourceSystemTitle or b""), int(settings.authentication)
        self.cs = bytes(settings.ctoSChallenge or b"")
        self.dedicated = bytes(settings.cipher.getDedicatedKey() or b"")
        try:
            if self.policy:
                self.decipher(_user_information(apdu))
        except ValueError:
            return REJECTED
        if self.mechanism == 1 and bytes(settings.password) != self.secret:
            return REJECTED[:-1] + b"\x0d"
        answer = self.inner.exchange(PLAIN_AARQ)
        initiate = answer[answer.index(b"\x08\x00\x06\x5f") :]
        if self.policy:
            initiate = self.cipher(initiate, 0x28)
        self.sc = secrets.token_bytes(16)
        parts = [bytes.fromhex("A1 09 06 07 60 85 74 05 08 01") + self._context()]
        parts.append(bytes.fromhex("A2 03 02 01 00 A3 05 A1 03 02 01") + (b"\x0e" if self.mechanism > 1 else b"\0"))
        parts.append(b"\xa4\x0a\x04\x08" + self.title)
        if self.mechanism > 1:
            parts.append(bytes.fromhex("88 02 07 80 89 07 60 85 74 05 08 02") + bytes((self.mechanism,)))
            parts.append(b"\xaa\x12\x80\x10" + self.sc)
        parts.append(b"\xbe" + bytes((len(initiate) + 2,)) + b"\x04" + bytes((len(initiate),)) + initiate)
        body = b"".join(parts)
        return b"\x61" + (bytes((len(body),)) if len(body) < 128 else b"\x81" + bytes((len(body),))) + body

    def _context(self) -> bytes:
        return bytes((1 + (self.short is not None) + 2 * (self.policy > 0),))

    def _reply_short(self, plain: bytes) -> bytes:
        if not self._proved(plain[8:]):
            return bytes.fromhex("0C 01 01 03")
        ours = self.alter_proof(self._prove())
        return b"\x0c\x01\x00\x09" + bytes((len(ours),)) + ours

    def _reply(self, plain: bytes) -> bytes:
        assert plain[12:14] == b"\x01\x09"
        proof = plain[15:]
        if not self._proved(proof):
            return b"\xc7\x01" + plain[2:3] + b"\x03\x00"
        ours = self.alter_proof(self._prove())
        return b"\xc7\x01" + plain[2:3] + b"\x00\x01\x00\x09" + bytes((len(ours),)) + ours

    def _proved(self, proof: bytes) -> bool:
        if self.mechanism == 7:
            assert self.pair is not None
            return self.pair.verified(self.client + self.title + self.sc + self.cs, proof, self.client_point)
        counter = int.from_bytes(proof[1:5], "big")
        return proof == self._function(self.sc, self.cs, self.client, self.title, counter)

    def _prove(self) -> bytes:
        if self.mechanism == 7:
            assert self.pair is not None
            return self.pair.sign(self.title + self.client + self.cs + self.sc)
        self.counter += 1
        return self._function(self.cs, self.sc, self.title, self.client, self.counter)

    def _function(self, challenge: bytes, other: bytes, who: bytes, whom: bytes, counter: int) -> bytes:
        """f, by gurux."""
        settings = GXDLMSSettings(True, None)
        settings.authentication = self.mechanism
        cipher = GXCiphering(self.title)
        cipher.blockCipherKey, cipher.authenticationKey, cipher.securitySuite = self.ek, self.ak, self.suite
        secret = {5: who, 6: self.secret + who + whom + challenge + other}.get(self.mechanism, self.secret)
        return bytes(GXSecure.secure(settings, cipher, counter, challenge, secret))

    # -- ciphering ------------------------------------------------------------------------------------------------------

    def cipher(self, plain: bytes, tag: int, *, counter: int | None = None, policy: int | None = None) -> bytes:
        dedicated = _dedicated(tag)
        if dedicated:
            self.fresh_counter += 1
            counter = self.fresh_counter if counter is None else counter
        else:
            self.counter += 1
            counter = self.counter if counter is None else counter
        asked = self._parameters(tag, self.title, self.dedicated if dedicated else self.ek, counter)
        asked.security = Security(self.policy if policy is None else policy)
        return bytes(GXDLMSChippering.encryptAesGcm(asked, plain))

    def decipher(self, apdu: bytes) -> bytes:
        """ValueError where the tag, title or counter is wrong: the text by gurux, and the tag by ciphering it again."""
        tag, at = apdu[0], 1
        if tag in (GENERAL_GLO, GENERAL_DED):
            if apdu[2:10] != self.client:
                raise ValueError("title")
            at = 10
        dedicated = _dedicated(tag)
        size = apdu[at]
        at += 1 if size < 0x80 else 1 + (size & 0x7F)
        content = apdu[at:]
        counter, key = int.from_bytes(content[1:5], "big"), self.dedicated if dedicated else self.ek
        if content[0] != self.policy | self.suite:
            raise ValueError("policy")
        made = self._parameters(tag, self.client, key, counter)
        plain = bytes(
            GXDLMSChippering.decryptAesGcm(None, self._parameters(tag, self.client, key, counter), GXByteBuffer(apdu))
        )
        made.security = Security(self.policy)
        if bytes(GXDLMSChippering.encryptAesGcm(made, plain)) != apdu:
            raise ValueError("tag")
        if counter <= (self.fresh_heard if dedicated else self.heard):
            raise ValueError("counter")
        if dedicated:
            self.fresh_heard = counter
        else:
            self.heard = counter
        return plain

    def _parameters(self, tag: int, title: bytes, key: bytes, counter: int) -> Any:
        asked = AesGcmParameter(tag, title, key, self.ak)
        asked.securitySuite, asked.invocationCounter = self.suite, counter
        return asked
