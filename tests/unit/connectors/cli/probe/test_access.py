"""What command line and template come to, and that what is secret stays so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from connectors.cli.failure import USAGE, CommandError
from connectors.cli.probe.access import Addresses, Asked, Secrets, access, password_octets
from connectors.cli.probe.choices import Auth, Ciphering, MessageKey, Security
from connectors.protocols.dlms.errors import FramingError
from connectors.protocols.dlms.hdlc_link import HdlcLink
from connectors.protocols.dlms.hls import Mechanism
from connectors.protocols.dlms.link import WrapperLink
from connectors.protocols.dlms.security import MemoryCounter
from connectors.protocols.dlms.template import AUTHS, CIPHERINGS, KEY_INFOS, SECURITIES, PullTemplate

EK, AK = "00112233445566778899AABBCCDDEEFF", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
PASSWORD = "Geheim1!"
PLAIN, GMAC = PullTemplate(), PullTemplate(auth="hls-gmac", security="both")


@pytest.mark.parametrize(
    ("pull", "given", "options", "expected"),
    [
        pytest.param(PLAIN, Secrets(), {}, (Auth.NONE, Security.NONE), id="nothing"),
        pytest.param(PLAIN, Secrets(PASSWORD), {}, (Auth.LOW, Security.NONE), id="a-password-means-low"),
        pytest.param(PLAIN, Secrets(ek=EK, ak=AK), {}, (Auth.GMAC, Security.BOTH), id="keys-mean-gmac"),
        pytest.param(GMAC, Secrets(ek=EK, ak=AK), {}, (Auth.GMAC, Security.BOTH), id="the-template-says"),
        pytest.param(
            GMAC, Secrets(), {"auth": Auth.NONE, "security": Security.NONE}, (Auth.NONE, Security.NONE), id="none-asked"
        ),
        pytest.param(
            PLAIN, Secrets(ek=EK, ak=AK), {"security": Security.NONE}, (Auth.GMAC, Security.NONE), id="gmac-in-clear"
        ),
        pytest.param(PLAIN, Secrets(PASSWORD), {"auth": Auth.MD5}, (Auth.MD5, Security.NONE), id="md5"),
        pytest.param(PLAIN, Secrets(PASSWORD, EK, AK), {"auth": Auth.LOW}, (Auth.LOW, Security.BOTH), id="low-ciphered"),
        pytest.param(
            PLAIN, Secrets(PASSWORD), {"auth": Auth.NONE}, (Auth.NONE, Security.NONE), id="a-password-not-asked-for"
        ),
    ],
)
def test_how(pull: PullTemplate, given: Secrets, options: dict[str, Any], expected: tuple[Auth, Security]) -> None:
    found = access(pull, given, Asked(**options))
    assert (found.pull.auth, found.pull.security) == expected
    config = found.association(MemoryCounter(1) if found.counted else None)
    assert config.password == (PASSWORD.encode() if found.tells_secret else None)
    assert config.ciphered == (found.pull.security != "none")
    assert found.counted == (found.keys is not None)


@pytest.mark.parametrize(
    ("given", "options", "says"),
    [
        pytest.param(Secrets(), {"auth": Auth.LOW}, "no password", id="no-password"),
        pytest.param(Secrets(), {"auth": Auth.GMAC}, r"no encryption key \(EK\) and no authentication key", id="no-ek"),
        pytest.param(Secrets(ek=EK), {}, r"no authentication key \(AK\)", id="no-ak"),
        pytest.param(Secrets(ek=EK + "zz", ak=AK), {}, "--ek is no hex", id="ek-no-hex"),
        pytest.param(Secrets(ek=EK, ak=AK[:-2]), {}, "ak has 15 octets", id="ak-short"),
        pytest.param(Secrets(ek=EK, ak=AK), {"suite": 2}, "ek has 16 octets", id="suite-2"),
        pytest.param(Secrets(ek=EK, ak=AK), {"suite": 3}, "no security suite 3", id="suite-3"),
        pytest.param(Secrets(PASSWORD), {"dedicated": True}, "must travel encrypted", id="dedicated-in-clear"),
        pytest.param(Secrets(ek=EK, ak=AK), {"auth": Auth.ECDSA}, "set suite", id="ecdsa-in-suite-0"),
        pytest.param(
            Secrets(ek=EK, ak=AK), {"auth": Auth.ECDSA, "suite": 1}, "no signing key of ours", id="ecdsa-without-keys"
        ),
        pytest.param(
            Secrets(ek=EK, ak=AK),
            {"ciphering": Ciphering.GENERAL_CIPHERING, "key": MessageKey.WRAPPED},
            r"no master key \(KEK\)",
            id="wrapped-without-kek",
        ),
        pytest.param(
            Secrets(ek=EK, ak=AK),
            {"suite": 1, "ciphering": Ciphering.GENERAL_CIPHERING, "key": MessageKey.STATIC},
            "no key agreement key of ours and no public key agreement key of the meter",
            id="static-without-keys",
        ),
        pytest.param(Secrets(ek=EK, ak=AK), {"key": MessageKey.WRAPPED}, "is of general-ciphering", id="key-without-it"),
        pytest.param(Secrets("0xGeheim1!"), {}, "0x and is no hex", id="password-no-hex"),
    ],
)
def test_refused(given: Secrets, options: dict[str, Any], says: str) -> None:
    with pytest.raises(CommandError, match=says) as raised:
        access(PLAIN, given, Asked(**options))
    said = f"{raised.value} {raised.value.mend}".upper()
    assert raised.value.exit_code == USAGE
    assert not any(secret.upper() in said for secret in (PASSWORD, EK, AK[:-2]))


def test_nothing_secret_shows() -> None:
    given = Secrets(PASSWORD, EK, AK)
    found = access(PLAIN, given, Asked(auth=Auth.SHA256))
    shown = " ".join(map(repr, (given, found, found.association(MemoryCounter(1))))) + found.words
    for secret in (PASSWORD, EK, AK):
        assert secret not in shown.upper()
        assert secret not in shown
    assert repr(PASSWORD.encode()) not in shown


def test_a_title_of_our_own_is_new_each_time() -> None:
    first, second = (access(PLAIN, Secrets()) for _ in range(2))
    assert (len(first.title), first.title[:3]) == (8, b"HES")
    assert first.title != second.title
    assert access(PLAIN, Secrets(), title="4845530000000001").title == b"HES\0\0\0\0\1"
    with pytest.raises(CommandError, match="--system-title"):
        access(PLAIN, Secrets(), title="4845")


@pytest.mark.parametrize(("text", "octets"), [("Passw0rd", b"Passw0rd"), ("0x00FF41", b"\0\xffA"), ("Löß", "Löß".encode())])
def test_password(text: str, octets: bytes) -> None:
    assert password_octets(text) == octets


def test_ecdsa_keys_from_files(tmp_path: Path) -> None:
    ours, theirs = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    key, public = tmp_path / "ours.pem", tmp_path / "meter.pem"
    key.write_bytes(
        ours.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        theirs.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    given = Secrets(ek=EK, ak=AK, signing=key, meter_signing=public)
    found = access(PLAIN, given, Asked(auth=Auth.ECDSA, suite=1))
    hls = found.association(MemoryCounter(1)).hls
    assert hls is not None
    assert hls.mechanism is Mechanism.ECDSA
    assert found.identity.signing is not None
    assert found.identity.peer_signing == theirs.public_key()
    with pytest.raises(CommandError, match="cannot be read") as raised:
        access(PLAIN, Secrets(signing=public, meter_signing=public), Asked(auth=Auth.ECDSA, suite=1))
    assert "BEGIN" not in str(raised.value)


TEMPLATE = PullTemplate(
    auth="hls-gmac", security="both", suite=1, ciphering="general", referencing="sn", gbt_window=5, challenge_octets=16
)


@pytest.mark.parametrize(
    ("pull", "options", "expected"),
    [
        pytest.param(TEMPLATE, {}, (1, "general", "identified", "sn", 5, 16), id="the-template-says"),
        pytest.param(
            TEMPLATE,
            {"short_names": False, "gbt": 0, "challenge": 8, "suite": 0, "ciphering": Ciphering.SERVICE},
            (0, "service", "identified", "ln", 0, 8),
            id="the-command-line-says-no",
        ),
        pytest.param(
            PLAIN,
            {"short_names": True, "gbt": 9, "ciphering": Ciphering.GENERAL_CIPHERING, "key": MessageKey.WRAPPED},
            (0, "general-ciphering", "wrapped", "sn", 9, 0),
            id="the-command-line-says-yes",
        ),
    ],
)
def test_the_command_line_over_the_template(pull: PullTemplate, options: dict[str, Any], expected: tuple[Any, ...]) -> None:
    pull = access(pull, Secrets(ek=EK, ak=AK, kek=AK), Asked(**options)).pull
    assert (
        pull.suite, pull.ciphering, pull.key_info, pull.referencing, pull.gbt_window, pull.challenge_octets,
    ) == expected  # fmt: skip


def test_each_choice_is_one_of_the_templates() -> None:
    for choices, names in ((Auth, AUTHS), (Security, SECURITIES), (Ciphering, CIPHERINGS), (MessageKey, KEY_INFOS)):
        assert tuple(choice.value for choice in choices) == names


def test_links() -> None:
    wrapper = Addresses(client=1, server=1, public_client=16)
    assert isinstance(wrapper.link(1, 5.0), WrapperLink)
    hdlc = Addresses(client=1, server=1, public_client=16, hdlc=True, physical=17, octets=4)
    assert isinstance(hdlc.link(16, 5.0), HdlcLink)
    assert hdlc.words(16) == "HDLC, client 16, server 1, physical 17"
    with pytest.raises(FramingError):
        Addresses(client=1, server=1, public_client=16, hdlc=True, physical=300, octets=2).link(1, 5.0).open(0.0)
