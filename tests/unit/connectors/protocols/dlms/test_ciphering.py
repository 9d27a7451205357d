from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from gurux_dlms import GXByteBuffer
from gurux_dlms.AesGcmParameter import AesGcmParameter
from gurux_dlms.enums import InterfaceType, Security
from gurux_dlms.GXDLMSChippering import GXDLMSChippering
from gurux_dlms.secure import GXDLMSSecureNotify
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.protocols.dlms.ciphering import (
    AUTHENTICATED,
    BROADCAST,
    COMPRESSED,
    ENCRYPTED,
    GENERAL_DED,
    GENERAL_GLO,
    Keys,
    cipher,
    decipher,
    service_tag,
)
from connectors.protocols.dlms.errors import CipherError
from connectors.protocols.dlms.framing import Apdu, PushStream

# IEC 62056-5-3 (Green Book), the example that runs through its tables on ciphering
EK, AK = bytes(range(0x10)), bytes(range(0xD0, 0xE0))
KEYS = Keys(EK, AK)
TITLE = bytes.fromhex("4D4D4D0000BC614E")
COUNTER = 0x01234567
GET_REQUEST = bytes.fromhex("C0010000080000010000FF0200")
BOTH = AUTHENTICATED | ENCRYPTED
BOOK = {
    AUTHENTICATED: "C81E1001234567C0010000080000010000FF020006725D910F9221D263877516",
    ENCRYPTED: "C8122001234567411312FF935A47566827C467BC",
    BOTH: "C81E3001234567411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B",
}
OTHER = bytes(range(0x50, 0x60))


def known(_: bytes) -> Keys | None:
    return KEYS


# -- published vectors and captures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("security", BOOK, ids=["authenticated", "encrypted", "both"])
def test_green_book(security: int) -> None:
    octets = bytes.fromhex(BOOK[security])
    assert cipher(GET_REQUEST, KEYS, TITLE, COUNTER, security, tag=service_tag(GET_REQUEST)) == octets
    opened = decipher(octets, known, TITLE)
    assert (opened.plain, opened.system_title, opened.invocation_counter, opened.security) == (
        GET_REQUEST,
        TITLE,
        COUNTER,
        security,
    )


def test_capture(captures_dir: Path) -> None:
    name, title, counter = captures_dir / "dlms-push" / "hdlc_kamstrup_omnipower", b"KAME\x01\x34\x90\x83", 17784996
    (apdu,) = PushStream().feed(bytes.fromhex(name.with_suffix(".hex").read_text()))
    keys = Keys(*(bytes.fromhex(name.with_suffix(kind).read_text()) for kind in (".guek", ".gak")))
    opened = decipher(apdu.data, {title: keys}.get)
    assert (opened.system_title, opened.invocation_counter, opened.security) == (title, counter, 0x30)
    assert opened.plain.startswith(bytes.fromhex("0F000000000C07EA030C040F181EFF800000"))
    assert cipher(opened.plain, keys, title, counter) == apdu.data
    with pytest.raises(CipherError) as caught:
        decipher(apdu.data, lambda _: Keys(keys.ek, OTHER))
    assert (caught.value.code, caught.value.system_title) == ("cipher-authentication", title)


def test_capture_without_a_key(captures_dir: Path) -> None:
    (apdu,) = PushStream().feed(bytes.fromhex((captures_dir / "dlms-push" / "mbus_kmswest.hex").read_text()))
    with pytest.raises(CipherError, match="454C536570000001") as caught:
        decipher(apdu.data, lambda _: None)
    assert (caught.value.code, caught.value.system_title) == ("key-missing", b"ELSep\x00\x00\x01")


# -- second opinions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("security", [Security.AUTHENTICATION, Security.ENCRYPTION, Security.AUTHENTICATION_ENCRYPTION])
def test_opens_what_gurux_pushes(security: Security) -> None:
    notify = GXDLMSSecureNotify(True, 16, 1, InterfaceType.WRAPPER)
    notify.ciphering.security = security
    notify.ciphering.systemTitle = TITLE
    notify.ciphering.blockCipherKey = EK
    notify.ciphering.authenticationKey = AK
    notify.ciphering.invocationCounter = COUNTER
    notify.maxReceivePDUSize = 1000
    body = bytes.fromhex("09820190") + bytes(n & 0xFF for n in range(400))
    messages = notify.generateDataNotificationMessages(None, GXByteBuffer(body))
    (apdu,) = PushStream().feed(b"".join(bytes(message) for message in messages))
    assert isinstance(apdu, Apdu)
    opened = decipher(apdu.data, known)
    assert opened.plain[0] == 0x0F
    assert opened.plain.endswith(body)
    assert (opened.system_title, opened.invocation_counter, opened.security) == (TITLE, COUNTER, int(security))


@settings(max_examples=20, deadline=None)  # gurux's AES is pure Python
@given(
    st.binary(min_size=1, max_size=60),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=8, max_size=8),
    st.integers(0, 0xFFFFFFFF),
    st.sampled_from([Security.AUTHENTICATION, Security.ENCRYPTION, Security.AUTHENTICATION_ENCRYPTION]),
)
def test_ciphers_like_gurux(plain: bytes, ek: bytes, title: bytes, counter: int, security: Security) -> None:
    asked = AesGcmParameter(0xC8, title, ek, AK)
    asked.security = security
    asked.invocationCounter = counter
    expected = bytes(GXDLMSChippering.encryptAesGcm(asked, plain))
    assert cipher(plain, Keys(ek, AK), title, counter, int(security), tag=0xC8) == expected


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 0xFFFFFFFF))
def test_like_the_librarys_own_gcm(plain: bytes, counter: int) -> None:
    """`cryptography`'s Cipher knows tags of 12 octets; `decipher` gets them out of AESGCM, which is twice as fast."""
    octets = cipher(plain, KEYS, TITLE, counter)
    body = octets[-12 - len(plain) :]
    mode = modes.GCM(TITLE + counter.to_bytes(4, "big"), body[-12:], min_tag_length=12)
    opener = Cipher(algorithms.AES(EK), mode).decryptor()
    opener.authenticate_additional_data(bytes((BOTH,)) + AK)
    assert opener.update(body[:-12]) + opener.finalize() == plain == decipher(octets, known).plain


@given(st.binary(max_size=99), st.integers(0, 0xFFFFFFFF))
def test_encryption_alone_is_counter_mode(plain: bytes, counter: int) -> None:
    octets = cipher(plain, KEYS, TITLE, counter, ENCRYPTED)
    start = TITLE + counter.to_bytes(4, "big") + b"\x00\x00\x00\x02"
    reader = Cipher(algorithms.AES(EK), modes.CTR(start)).decryptor()
    assert reader.update(octets[len(octets) - len(plain) :]) + reader.finalize() == plain


# -- keys and tags ----------------------------------------------------------------------------------------------------

EVERY = Keys(EK, AK, dedicated=OTHER, broadcast=bytes(range(0x60, 0x70)))


@pytest.mark.parametrize("tag", [GENERAL_GLO, GENERAL_DED, 0xC8, 0xCC, 0xCF, 0xD0, 0xD4, 0xD7, 0x21, 0x28, 0x2E], ids=hex)
@pytest.mark.parametrize(
    "security", [BOTH, BOTH | BROADCAST, ENCRYPTED, AUTHENTICATED], ids=["both", "broadcast", "encrypted", "authenticated"]
)
@pytest.mark.parametrize("size", [0, 1, 110, 111, 300, 70_000])
def test_opens_its_own(tag: int, security: int, size: int) -> None:
    plain = bytes(size)
    octets = cipher(plain, EVERY, TITLE, 7, security, tag=tag)
    title = None if tag in (GENERAL_GLO, GENERAL_DED) else TITLE
    opened = decipher(octets, lambda _: EVERY, title)
    assert (opened.plain, opened.system_title, opened.invocation_counter, opened.security) == (plain, TITLE, 7, security)


def test_each_kind_of_apdu_has_its_key() -> None:
    made = [
        cipher(b"plain", EVERY, TITLE, 7, ENCRYPTED, tag=0xC8),
        cipher(b"plain", EVERY, TITLE, 7, ENCRYPTED, tag=0xD0),
        cipher(b"plain", EVERY, TITLE, 7, ENCRYPTED | BROADCAST, tag=0xC8),
    ]
    assert len({octets[7:] for octets in made}) == 3


def test_general_glo_with_an_empty_title() -> None:
    octets = cipher(b"plain", KEYS, TITLE, 7, tag=0xC8)
    assert decipher(b"\xdb\x00" + octets[1:], known, TITLE).plain == b"plain"


@pytest.mark.parametrize(
    ("plain", "dedicated", "tag"),
    [("C0", False, 0xC8), ("C1", True, 0xD1), ("C2", False, 0xCA), ("C4", True, 0xD4), ("C7", False, 0xCF)],
)
def test_service_tag(plain: str, dedicated: bool, tag: int) -> None:
    assert service_tag(bytes.fromhex(plain), dedicated=dedicated) == tag


@pytest.mark.parametrize("plain", ["", "0F", "C8", "60"])
def test_service_tag_refused(plain: str) -> None:
    with pytest.raises(CipherError) as caught:
        service_tag(bytes.fromhex(plain))
    assert caught.value.code == "cipher-malformed"


def test_authentication_key_may_be_missing_only_when_asked_for() -> None:
    octets = cipher(b"plain", KEYS, TITLE, 7)
    with pytest.raises(CipherError, match=r"no authentication key \(AK\) for system title 4D4D4D0000BC614E") as caught:
        decipher(octets, lambda _: Keys(EK))
    assert caught.value.code == "key-missing"
    assert decipher(octets, lambda _: Keys(EK), verify=False).plain == b"plain"
    with pytest.raises(CipherError) as caught:  # a key that is there is used
        decipher(octets, lambda _: Keys(EK, OTHER), verify=False)
    assert caught.value.code == "cipher-authentication"


# -- refusals ---------------------------------------------------------------------------------------------------------

GLO = cipher(b"plain", KEYS, TITLE, 7)


def with_security(control: int) -> bytes:
    return GLO[:11] + bytes((control,)) + GLO[12:]


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        pytest.param(b"", "cipher-malformed", id="nothing"),
        pytest.param(b"\x0f\x00", "cipher-malformed", id="not ciphered"),
        pytest.param(b"\xdd\x00", "cipher-suite-unsupported", id="general-ciphering"),
        pytest.param(b"\xdf\x00", "cipher-suite-unsupported", id="general-signing"),
        pytest.param(GLO[:1], "cipher-malformed", id="tag alone"),
        pytest.param(GLO[:6], "cipher-malformed", id="title cut off"),
        pytest.param(GLO[:-1], "cipher-malformed", id="cut off"),
        pytest.param(GLO + b"\x00", "cipher-malformed", id="octets behind"),
        pytest.param(b"\xdb\x07" + GLO[2:9] + GLO[10:], "cipher-malformed", id="title of 7"),
        pytest.param(b"\xdb\x00" + GLO[10:], "cipher-malformed", id="no title at all"),
        pytest.param(b"\xc8" + GLO[10:], "cipher-malformed", id="service-specific, title unknown"),
        pytest.param(b"\xdb\x08" + TITLE + b"\x04\x30\x00\x00\x00", "cipher-malformed", id="no room for the header"),
        pytest.param(b"\xdb\x08" + TITLE + b"\x10\x30" + bytes(15), "cipher-malformed", id="no room for the tag"),
        pytest.param(with_security(0x00), "cipher-malformed", id="neither authenticated nor encrypted"),
        pytest.param(with_security(0x31), "cipher-suite-unsupported", id="suite 1"),
        pytest.param(with_security(0xB0), "cipher-suite-unsupported", id="compressed"),
        pytest.param(with_security(0x70), "key-missing", id="no broadcast key"),
        pytest.param(b"\xdc" + GLO[1:], "key-missing", id="no dedicated key"),
        pytest.param(with_security(0x10), "cipher-authentication", id="security control changed"),
        pytest.param(GLO[:-1] + bytes((GLO[-1] ^ 1,)), "cipher-authentication", id="tag changed"),
        pytest.param(GLO[:16] + bytes((GLO[16] ^ 1,)) + GLO[17:], "cipher-authentication", id="text changed"),
        pytest.param(GLO[:15] + b"\x08" + GLO[16:], "cipher-authentication", id="counter changed"),
    ],
)
def test_refused(octets: bytes, code: str) -> None:
    with pytest.raises(CipherError) as caught:
        decipher(octets, known)
    assert caught.value.code == code
    assert_masked(caught.value)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param({"tag": 0x0F}, "cipher-malformed", id="tag"),
        pytest.param({"system_title": TITLE[1:]}, "cipher-malformed", id="title"),
        pytest.param({"invocation_counter": 1 << 32}, "cipher-malformed", id="counter exhausted"),
        pytest.param({"invocation_counter": -1}, "cipher-malformed", id="counter negative"),
        pytest.param({"security": 0}, "cipher-malformed", id="no security"),
        pytest.param({"security": BOTH | COMPRESSED}, "cipher-suite-unsupported", id="compressed"),
        pytest.param({"security": BOTH | 2}, "cipher-suite-unsupported", id="suite 2"),
        pytest.param({"keys": Keys(EK)}, "key-missing", id="no AK"),
        pytest.param({"tag": 0xD0}, "key-missing", id="no dedicated key"),
    ],
)
def test_cipher_refuses(arguments: dict[str, object], code: str) -> None:
    asked = {"plain": b"plain", "keys": KEYS, "system_title": TITLE, "invocation_counter": 7} | arguments
    with pytest.raises(CipherError) as caught:
        cipher(**asked)  # type: ignore[arg-type]  # a table of arguments of several types
    assert caught.value.code == code
    assert_masked(caught.value)


@given(st.sampled_from([0xDB, 0xDC, 0xC8, 0xD0, 0x21]), st.binary(max_size=60))
def test_nothing_else_is_raised(tag: int, octets: bytes) -> None:
    try:
        opened = decipher(bytes((tag,)) + octets, lambda _: EVERY, TITLE)
    except CipherError as error:
        assert_masked(error)
    else:
        assert not opened.security & AUTHENTICATED  # anything opens that is only encrypted


# -- secrets ----------------------------------------------------------------------------------------------------------


def assert_masked(error: BaseException) -> None:
    for text in (str(error), repr(error), repr(error.args), repr(vars(error))):
        for key in (EK, AK, OTHER):
            assert key.hex() not in text.lower()
            assert repr(key)[2:-1] not in text
        assert "plain" not in text


def test_keys_show_no_octet() -> None:
    assert repr(EVERY) == str(EVERY) == f"{EVERY}" == "Keys(ek=***, ak=***, dedicated=***, broadcast=***)"
    assert repr(Keys(EK)) == "Keys(ek=***)"
    assert "Keys(ek=***" in repr([EVERY])


def test_wrong_key_length_shows_no_octet() -> None:
    makers: list[Callable[[], Keys]] = [
        lambda: Keys(EK[1:]),
        lambda: Keys(EK, AK + b"\x00"),
        lambda: Keys(EK, dedicated=b""),
    ]
    for make in makers:
        with pytest.raises(ValueError, match="a key of suite 0 has 16") as caught:
            make()
        assert_masked(caught.value)


def test_keys_are_as_long_as_their_suite_wants() -> None:
    assert repr(Keys(EK + EK, suite=2)) == "Keys(ek=***, suite=2)"
    with pytest.raises(ValueError, match="ek has 16 octets: a key of suite 2 has 32"):
        Keys(EK, suite=2)
    with pytest.raises(ValueError, match="security suite 3"):
        Keys(EK, suite=3)


@pytest.mark.parametrize("suite", [1, 2])
def test_other_suites_like_gurux(suite: int) -> None:
    size = 16 * suite
    keys = Keys(bytes(range(size)), bytes(range(size, 2 * size)), suite=suite)
    asked = AesGcmParameter(0xC8, TITLE, keys.ek, keys.ak)
    asked.security, asked.securitySuite, asked.invocationCounter = Security.AUTHENTICATION_ENCRYPTION, suite, COUNTER
    octets = cipher(GET_REQUEST, keys, TITLE, COUNTER, tag=0xC8)
    assert octets == bytes(GXDLMSChippering.encryptAesGcm(asked, GET_REQUEST))
    assert decipher(octets, lambda _: keys, TITLE).security == BOTH | suite


def test_deciphered_text_is_not_in_the_repr() -> None:
    assert "plain" not in repr(decipher(GLO, known))
