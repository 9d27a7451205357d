"""Elliptic curves, agreed and wrapped keys, and the APDUs that carry them."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from connectors.protocols.dlms.ciphering import AUTHENTICATED, ENCRYPTED
from connectors.protocols.dlms.errors import CipherError
from connectors.protocols.dlms.key_agreement import agree, derive, ephemeral, read_ephemeral, unwrap, wrap
from connectors.protocols.dlms.signing import point, private_key, public_key, sign, verify
from tests.unit.connectors.protocols.dlms.secure_meter import CLIENT_TITLE, METER_TITLE, CurvePair

BOTH = AUTHENTICATED | ENCRYPTED
GET = bytes.fromhex("C001C100010000600100FF0200")


def octets(text: str) -> bytes:
    return bytes.fromhex(text)


# Green Book (DLMS UA 1000-2), the test vectors for key agreement with security suite 1; U is the client here
CLIENT, SERVER = octets("4D4D4D0000BC614E"), octets("4D4D4D0000000001")
SIGNING_CLIENT = octets("418073C239FA6125011DE4D6CD2E645780289F761BB21BFB0835CB5585E8B373")
SIGNING_CLIENT_POINT = octets(
    "BAAFFDE06A8CB1C9DAE8D94023C601DBBB249254BA22EDD827E820BCA2BCC643"
    "62FBB83D86A82B87BB8B7161D2AAB5521911A946B97A284A90F7785CD9047D25"
)
SIGNING_SERVER_POINT = octets(
    "933ACF15B03A9248E029B2787FB52A0AECAF635F07C42A0019FB3197E38F8F54"
    "9A125EA36781B0CA96BE89A0E1FE2CF9B7361ED48B3C5E24592B9C0F4EDD31D1"
)
AGREEMENT_CLIENT = octets("A51C16FF5C498FCC89323D4A9267CD71BF81FD6F6A891CD240DA7F3D6F283E65")
AGREEMENT_SERVER = octets("AAD3FD0732E991CF52A74C66C1F2827DDC53522A2E0A169D7C4FFCC0FB5D6A4D")
AGREEMENT_SERVER_POINT = octets(
    "A653565B0E06070BAE9FBE140A5D2156812AEE2DD525053E3EFC850BF13BFDFF"
    "CB240BC7B77BFF5883344E7275908D2287BEFA3725017295A096989D2338290B"
)
OFFERED_CLIENT = octets(
    "C323C2BD45711DE4688637D919F92E9DB8FB2DFC213A88D21C9DC8DCBA917D81"
    "70511DE1BADB360D50058F794B0960AE11FA28D392CFF907A62D13E3357B1DC0"
    "B51BE089D0B682863B2217201E73A1A9031968A9B4121DCBC3281A69739AF874"
    "29F5B3AC5471E7B6A04A2C0F2F8A25FD772A317DF97FC5463FEAC248EB8AB8BE"
)
OFFERED_SERVER = octets(
    "6439724714B47CD9CB988897D8424AB946DCD083D37A954637616011B9C23787"
    "73295F0F850D8DAFD1BBE9FE666E53E4F097CD10B38B69622152724A90987444"
    "E1FF47974A1F6931A6502F58147463F0E8CC517D47F55B0AC56DD8AC5C9D0E48"
    "1934F2D90F9893016BD82B6E3FFE21FF1588F3278B4E9D98EB4FB62ADD64B380"
)
OFFERED_FOR_GUEK = octets(  # method key_agreement of the security setup: the signature covers the key_id, 0
    "2914D60E10AB705F62ED6CC349D7CB99B9AB3F3978E59278C7AF595B3AF98794"
    "1372DAB6D5AF1FA867E134167E6F23DE664A6693E05F43414611058D1B48F894"
    "06F0607702AA0E2435A183E2F6B1ECD19629712E389A213610C03F77B2590860"
    "EA840AF5C3FA1F2BCDF055D4744E9A01CE9A0E55026BCAA4EEBEB764CED64BB3"
)
EPHEMERAL_SERVER = octets("34A8C23A34DBB519D09B245754C85A6CFE05D14A063EFA5AA41545AA8241EFAE")
TRANSACTION = octets("0102030405060708")

# Suite B Implementer's Guide to FIPS 186-3 (ECDSA), P-384
P384_POINT = octets(
    "1fbac8eebd0cbf35640b39efe0808dd774debff20a2a329e91713baf7d7f3c3e81546d883730bee7e48678f857b02ca0"
    "eb213103bd68ce343365a8a4c3d4555fa385f5330203bdd76ffad1f3affb95751c132007e1b240353cb0a4cf1693bdf9"
)
P384_TEXT = b"This is only a test message. It is 48 bytes long"
P384_SIGNATURE = octets(
    "a0c27ec893092dea1e1bd2ccfed3cf945c8134ed0c9f81311a0f4a05942db8dbed8dd59f267471d5462aa14fe72de856"
    "20ab3f45b74f10b6e11f96a2c8eb694d206b9dda86d3c7e331c26b22c987b7537726577667adadf168ebbe803794a402"
)


def test_signature_of_suite_2_as_published() -> None:
    key = public_key(P384_POINT, 2)
    assert verify(key, P384_TEXT, P384_SIGNATURE)
    assert not verify(key, P384_TEXT, P384_SIGNATURE[:-1] + b"\x03")
    assert not verify(key, P384_TEXT + b".", P384_SIGNATURE)
    private = private_key(
        octets("c838b85253ef8dc7394fa5808a5183981c7deef5a69ba8f4f2117ffea39cfcd90e95f6cbc854abacab701d50c1f3cf24"), 2
    )
    assert point(private.public_key()) == P384_POINT


@pytest.mark.parametrize(
    ("secret", "party_u", "party_v", "key"),
    [
        pytest.param(
            "0D4385BA0DD756CBCAB9887EB538396EE8F090A14C1079B4359F115B977F4615",
            CLIENT,
            SERVER,
            "59A71FD81C929A86A99438DA17A66C05",
            id="client-to-server",
        ),
        pytest.param(
            "2B4302DC49790E2E78D990CFB52ED6E2F273DECE441A2D95E4301B93812A9FAC",
            SERVER,
            CLIENT,
            "F0184BDA9466BFA4601A64A7EF46504A",
            id="server-to-client",
        ),
    ],
)
def test_derivation_as_in_the_green_book(secret: str, party_u: bytes, party_v: bytes, key: str) -> None:
    assert derive(octets(secret), 1, party_u, party_v) == octets(key)


def test_agreements_as_in_the_green_book() -> None:
    theirs = read_ephemeral(OFFERED_CLIENT, public_key(SIGNING_CLIENT_POINT, 1))
    key = agree(private_key(AGREEMENT_SERVER, 1), theirs, CLIENT, SERVER)
    assert key == octets("59A71FD81C929A86A99438DA17A66C05")  # one-pass, seen from the server
    theirs = read_ephemeral(OFFERED_SERVER, public_key(SIGNING_SERVER_POINT, 1))
    key = agree(private_key(AGREEMENT_CLIENT, 1), theirs, SERVER, CLIENT)
    assert key == octets("F0184BDA9466BFA4601A64A7EF46504A")  # one-pass, seen from the client
    server = public_key(AGREEMENT_SERVER_POINT, 1)
    key = agree(private_key(AGREEMENT_CLIENT, 1), server, CLIENT, SERVER, TRANSACTION)
    assert key == octets("56C46B57DF675515C31025455822514A")  # static
    theirs = read_ephemeral(OFFERED_FOR_GUEK, public_key(SIGNING_CLIENT_POINT, 1), b"\0")
    secret = private_key(EPHEMERAL_SERVER, 1).exchange(ec.ECDH(), theirs)
    assert secret == octets("C1CF8FE7891AEF3617D7190795E61FE6C24EFC3CCA2E08469BAD1A225CE6EA08")  # ephemeral unified


@pytest.mark.parametrize(
    ("kek", "key", "wrapped"),
    [
        pytest.param(
            "000102030405060708090A0B0C0D0E0F",
            "00112233445566778899AABBCCDDEEFF",
            "1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5",
            id="128",
        ),
        pytest.param(
            "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F",
            "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F",
            "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21",
            id="256",
        ),
    ],
)
def test_wrapping_as_in_rfc_3394(kek: str, key: str, wrapped: str) -> None:
    assert wrap(octets(kek), octets(key)) == octets(wrapped)
    assert unwrap(octets(kek), octets(wrapped)) == octets(key)
    with pytest.raises(CipherError) as caught:
        unwrap(octets(kek), octets(wrapped)[:-1] + b"\0")
    assert caught.value.code == "cipher-authentication"


@pytest.mark.parametrize("suite", [1, 2])
def test_curves_like_gurux(suite: int) -> None:
    theirs, ours = CurvePair(suite), CurvePair(suite)
    key = private_key(ours.octets, suite)
    assert point(key.public_key()) == ours.point
    assert theirs.verified(b"text", sign(key, b"text"), ours.point)
    signature = theirs.sign(b"text")
    assert verify(public_key(theirs.point, suite), b"text", signature)
    assert not verify(public_key(theirs.point, suite), b"text!", signature)
    key_of_both = agree(key, public_key(b"\x04" + theirs.point, suite), CLIENT_TITLE, METER_TITLE)
    assert key_of_both == kdf(suite, theirs.agree(ours.point), CLIENT_TITLE + METER_TITLE)


def kdf(suite: int, secret: bytes, parties: bytes) -> bytes:
    hashed, size, algorithm = {1: (hashlib.sha256, 16, "60857405080300"), 2: (hashlib.sha384, 32, "60857405080301")}[suite]
    return hashed(b"\0\0\0\1" + secret + octets(algorithm) + parties).digest()[:size]


def test_an_ephemeral_key_is_vouched_for() -> None:
    signer = private_key(SIGNING_CLIENT, 1)
    pair, offered = ephemeral(signer, b"\0")
    assert point(read_ephemeral(offered, signer.public_key(), b"\0")) == point(pair.public_key())
    with pytest.raises(CipherError, match="signature does not verify"):
        read_ephemeral(offered, signer.public_key(), b"\1")
    with pytest.raises(CipherError, match="suite 1 has 128"):
        read_ephemeral(offered[:-1], signer.public_key())


def test_no_point_and_no_key() -> None:
    for bad in (bytes(64), bytes(63), SIGNING_CLIENT_POINT[:-1] + b"\0", b"\x05" + SIGNING_CLIENT_POINT):
        with pytest.raises(CipherError, match="no point of the curve"):
            public_key(bad, 1)
    for bad in (bytes(32), b"\xff" * 32, bytes(31)):
        with pytest.raises(ValueError, match="private key"):
            private_key(bad, 1)
    with pytest.raises(CipherError, match="different suites"):
        agree(private_key(AGREEMENT_CLIENT, 1), public_key(P384_POINT, 2), CLIENT, SERVER)


def test_no_signature_begins_with_a_zero_octet_which_some_meters_refuse() -> None:
    key = private_key(bytes(31) + b"\7", 1)
    signatures = [sign(key, b"%d" % number) for number in range(2_000)]  # some fifteen would
    assert all(signature[0] and signature[32] for signature in signatures)
    assert all(verify(key.public_key(), b"%d" % number, each) for number, each in enumerate(signatures[:50]))
