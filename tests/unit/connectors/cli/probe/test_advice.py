"""What to try next."""

from __future__ import annotations

import pytest

from connectors.cli.probe.access import Access, Secrets, access
from connectors.cli.probe.address import Target
from connectors.cli.probe.advice import _ALWAYS, _REFUSALS, advice, on_opening
from connectors.protocols.dlms.association import _DIAGNOSTICS
from connectors.protocols.dlms.errors import CODES, PeerError
from connectors.protocols.dlms.template import PullTemplate

TCP, UDP = Target("m", 4059), Target("m", 4059, datagram=True)
OPEN = access(PullTemplate(), Secrets())
LOW = access(PullTemplate(), Secrets("secret"))
KEYED = access(PullTemplate(), Secrets(ek="00" * 16, ak="11" * 16))


@pytest.mark.parametrize(
    ("code", "detail", "target", "who", "heard", "hdlc", "says"),
    [
        ("link-timeout", "", TCP, OPEN, b"", False, "try --hdlc"),
        ("link-timeout", "", TCP, OPEN, b"", True, "try without --hdlc"),
        ("link-timeout", "", UDP, OPEN, b"", False, "UDP loses datagrams"),
        ("frame-garbage", "", TCP, OPEN, b"\x7e\xa0", False, "add --hdlc"),
        ("link-timeout", "", TCP, OPEN, b"\x00\x01\x00", True, "leave out --hdlc"),
        ("link-timeout", "", TCP, OPEN, b"\x7e\xa0", True, "from another address"),
        ("frame-garbage", "", TCP, OPEN, b"HTTP/1.1", False, "48 54 54 50"),
        ("peer-closed", "", TCP, OPEN, b"", False, "--client 16 is the public one"),
        ("peer-closed", "", TCP, KEYED, b"", False, "wrong keys"),
        ("peer-closed", "", TCP, OPEN, b"", True, "--wrapper"),
        ("peer-association-refused", "authentication-failure", TCP, LOW, b"\0\1", False, "letter by letter"),
        ("peer-association-refused", "authentication-failure", TCP, OPEN, b"\0\1", False, "--auth low"),
        ("peer-association-refused", "authentication-required", TCP, OPEN, b"\0\1", False, "must authenticate"),
        ("peer-association-refused", "application-context-name-not-supported", TCP, OPEN, b"\0\1", False, "--security both"),
        ("peer-association-refused", "no-reason-given", TCP, LOW, b"\0\1", False, "--client 16 --auth none"),
        ("link-refused", "", TCP, OPEN, b"\x7e", True, "another client"),
        ("cipher-authentication", "", TCP, KEYED, b"\0\1", False, "--suite"),
        ("peer-exception", "invocation-counter-error", TCP, KEYED, b"\0\1", False, "--counter"),
    ],
)  # fmt: skip
def test_on_opening(code: str, detail: str, target: Target, who: Access, heard: bytes, hdlc: bool, says: str) -> None:
    assert says in on_opening(PeerError(code, detail), target, who, heard, hdlc=hdlc)


def test_on_a_reading() -> None:
    assert "--objects" in advice(PeerError("peer-access", "object-undefined"))
    assert "--zone" in advice(PeerError("peer-access", "data-access-result 12 (type-unmatched)"))
    assert advice(PeerError("peer-block", "")) == ""


def test_it_speaks_of_codes_that_there_are() -> None:
    assert set(_ALWAYS) <= set(CODES)
    names = " ".join(name for name, _ in _DIAGNOSTICS.values())
    assert [words for words, _ in _REFUSALS if words not in names] == []
