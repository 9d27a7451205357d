"""The wrapper, as a link of the same shape as HDLC."""

from __future__ import annotations

from connectors.protocols.dlms.link import Link, WrapperLink
from tests.unit.connectors.protocols.dlms.gurux_meter import code_of
from tests.unit.connectors.protocols.dlms.hdlc_octets import TIMING, deadline_of, trickled


def test_wrapper_link() -> None:
    link: Link = WrapperLink(16, 1, TIMING)
    assert code_of(lambda: link.send(b"x", 0.0)) == "link-state"
    assert link.open(0.0) == b""
    assert link.opened
    assert link.send(b"abc", 0.0) == bytes.fromhex("0001 0010 0001 0003") + b"abc"
    assert deadline_of(link) == 5.0
    late = bytes.fromhex("0001 0001 0020 0001 FF")
    answer = bytes.fromhex("0001 0001 0010 0003") + b"def"
    assert link.receive(late + answer[:5], 4.5) == ((), b"")
    assert deadline_of(link) == 5.5
    assert link.receive(answer[5:], 5.0) == ((b"def",), b"")
    assert deadline_of(link) is None
    assert link.send(b"", 6.0) == b""
    assert code_of(lambda: link.tick(11.0)) == "link-timeout"
    assert link.close(12.0) == b""
    assert not link.opened


def test_wrapper_link_octets_that_trickle() -> None:
    link = WrapperLink(16, 1, TIMING)
    link.open(0.0)
    link.send(b"x", 0.0)
    assert trickled(link, bytes.fromhex("0001 0001 0010 FFFF") + bytes(2000)) < 62
