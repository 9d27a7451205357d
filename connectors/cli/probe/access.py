"""How to associate: what the command line says over what the template says, checked before anyone connects.

What comes of it is `connectors.protocols.dlms.access`'s, which the gateway uses, too: what a probe can do, the gateway can.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from connectors.cli.failure import CommandError, usage
from connectors.cli.probe.choices import Auth, Ciphering, MessageKey, Security
from connectors.protocols.dlms.access import WITH_SECRET, Access, AccessError
from connectors.protocols.dlms.access import access as _access
from connectors.protocols.dlms.ciphering import KEY_OCTETS
from connectors.protocols.dlms.hdlc_link import HdlcLink
from connectors.protocols.dlms.hdlc_parameters import Stations
from connectors.protocols.dlms.link import Link, Timing, WrapperLink
from connectors.protocols.dlms.meter_keys import READERS, MeterKeys
from connectors.protocols.dlms.template import PullTemplate

__all__ = ["WITH_SECRET", "Access", "Addresses", "Asked", "Secrets", "access", "password_octets"]

_HEX = {"ek": "--ek", "ak": "--ak", "kek": "--kek"}
_FILES = {
    "signing": "--signing-key", "agreement": "--agreement-key", "certificate": "--certificate",
    "meter_signing": "--meter-certificate", "meter_agreement": "--meter-agreement-certificate",
}  # fmt: skip
_MENDS = {
    "password": "set HES_PASSWORD, or run it on a terminal and type it",
    "ek": "give it by --ek or HES_EK, and the authentication key by --ak or HES_AK",
    "ak": "give it by --ak or HES_AK; --security encrypted needs none",
    "kek": "give it by --kek or HES_KEK",
    "signing": "give --signing-key FILE and --meter-certificate FILE, both PEM",
    "meter_signing": "give --meter-certificate FILE, PEM",
    "agreement": "give --agreement-key FILE and --meter-agreement-certificate FILE, both PEM",
    "meter_agreement": "give --meter-agreement-certificate FILE, PEM",
}


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is secret on the command line, as text, and files of keys; nothing of it shows."""

    password: str = field(default="", repr=False)
    ek: str = field(default="", repr=False)
    ak: str = field(default="", repr=False)
    kek: str = field(default="", repr=False)
    signing: Path | None = None
    """Ours for signatures."""
    meter_signing: Path | None = None
    """The meter's certificate or public key for signatures."""
    agreement: Path | None = None
    """Ours for key agreement."""
    meter_agreement: Path | None = None
    """The meter's for key agreement."""
    certificate: Path | None = None
    """Ours for signatures, to be sent along."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked for on the command line; None is as the template has it."""

    auth: Auth | None = None
    security: Security | None = None
    suite: int | None = None
    dedicated: bool = False
    ciphering: Ciphering | None = None
    key: MessageKey | None = None
    signed: bool = False
    short_names: bool | None = None
    gbt: int | None = None
    challenge: int | None = None

    def over(self, pull: PullTemplate, given: Secrets) -> PullTemplate:
        """The template with it. Where nothing says how to authenticate, what is given decides: a password low, keys GMAC."""
        auth = self.auth or (Auth(pull.auth) if pull.auth != "none" else _guessed(given))
        security = self.security
        if security is None:
            security = Security(pull.security) if pull.security != "none" else Security.BOTH if given.ek else Security.NONE
        changes: dict[str, Any] = {"auth": auth.value, "security": security.value}
        options = {
            "suite": self.suite, "ciphering": self.ciphering, "key_info": self.key, "gbt_window": self.gbt,
            "challenge_octets": self.challenge, "dedicated": self.dedicated or None, "signed": self.signed or None,
        }  # fmt: skip
        changes |= {name: getattr(value, "value", value) for name, value in options.items() if value is not None}
        if self.short_names is not None:
            changes["referencing"] = "sn" if self.short_names else "ln"
        return replace(pull, **changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Who speaks to whom, and how it is framed."""

    client: int
    server: int
    public_client: int
    hdlc: bool = False
    physical: int | None = None
    octets: int = 0
    """Of the meter's HDLC address; 0 is the shortest that fits."""

    def words(self, client: int) -> str:
        """The link as a person says it."""
        if not self.hdlc:
            return f"the wrapper, client {client}, server {self.server}"
        physical = "" if self.physical is None else f", physical {self.physical}"
        return f"HDLC, client {client}, server {self.server}{physical}"

    def link(self, client: int, timeout_s: float) -> Link:
        """A link of `client` to the meter."""
        timing = Timing(answer_s=timeout_s)
        if self.hdlc:
            return HdlcLink(Stations(client, self.server, self.physical, self.octets), timing=timing)
        return WrapperLink(client, self.server, timing)


def access(pull: PullTemplate, given: Secrets, asked: Asked | None = None, *, title: str = "") -> Access:
    """All but the counter of an association. Raises CommandError."""
    pull = (asked or Asked()).over(pull, given)
    if pull.suite not in KEY_OCTETS:
        raise usage(
            f"there is no security suite {pull.suite}", "there are 0 (AES-128), 1 (P-256, AES-128) and 2 (P-384, AES-256)"
        )
    try:
        return _access(pull, _held(given), _title(title))
    except AccessError as error:
        raise _refused(error, pull) from None


def password_octets(text: str) -> bytes:
    """A password as it is typed, or its octets as 0x and hex. Raises CommandError, which does not repeat it."""
    if not text.startswith("0x"):
        return text.encode()
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        raise usage("the password begins with 0x and is no hex", "write its octets as hex, two digits each") from None


def _guessed(given: Secrets) -> Auth:
    if given.password:
        return Auth.LOW
    return Auth.GMAC if given.ek else Auth.NONE


def _refused(error: AccessError, pull: PullTemplate) -> CommandError:
    if error.code == "template-contradictory":
        return usage(str(error), "compare --security, --suite, --ciphering, --message-key and --dedicated with it")
    if error.lacking:
        what = f"authentication {pull.auth} with security {pull.security} needs what is not given: {error}"
        return usage(what, _MENDS[error.lacking[0]])
    return usage(str(error), "check --suite, and the keys that are given")


def _held(given: Secrets) -> MeterKeys:
    held: dict[str, Any] = {}
    for name, option in _HEX.items():
        text = getattr(given, name)
        if text:
            try:
                held[name] = bytes.fromhex(text)
            except ValueError:
                raise usage(f"{option} is no hex", "a key is 32 hex digits, of suite 2 it is 64") from None
    for name, option in _FILES.items():
        file = getattr(given, name)
        if file is not None:
            held[name] = _file(name, option, file)
    return MeterKeys(password=password_octets(given.password) if given.password else None, **held)


def _file(name: str, option: str, path: Path) -> bytes:
    """What an error says never comes from the file."""
    try:
        return READERS[name](path.read_text(encoding="ascii"))
    except OSError as error:
        raise usage(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise usage(f"{option} {path} cannot be read", "PEM is expected") from None
    except ValueError as error:
        raise usage(f"{option} {path} cannot be read: the file {error}", "P-256 is of suite 1, P-384 of suite 2") from None


def _title(text: str) -> bytes:
    if not text:
        return b"HES" + secrets.token_bytes(5)
    try:
        title = bytes.fromhex(text)
    except ValueError:
        title = b""
    if len(title) != 8:
        raise usage("--system-title is not 16 hex digits", "it is the client's, such as 4845530000000001, not the meter's")
    return title
