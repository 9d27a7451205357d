"""What can be chosen on the command line: by itself, so that `hes --help` loads no cryptography."""

from __future__ import annotations

from enum import StrEnum


class Auth(StrEnum):
    """How client and meter prove who they are."""

    NONE = "none"
    LOW = "low"
    MD5 = "hls-md5"
    SHA1 = "hls-sha1"
    GMAC = "hls-gmac"
    SHA256 = "hls-sha256"
    ECDSA = "hls-ecdsa"


class Security(StrEnum):
    """How requests and answers are protected."""

    NONE = "none"
    AUTHENTICATED = "authenticated"
    ENCRYPTED = "encrypted"
    BOTH = "both"


class Ciphering(StrEnum):
    """The APDU around a protected one."""

    SERVICE = "service"
    GENERAL = "general"
    GENERAL_CIPHERING = "general-ciphering"


class MessageKey(StrEnum):
    """The key of general-ciphering: the global one, one wrapped under the master key, or one that is agreed on."""

    IDENTIFIED = "identified"
    WRAPPED = "wrapped"
    ONE_PASS = "one-pass"  # noqa: S105 - of a key agreement
    STATIC = "static"
