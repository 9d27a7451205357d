"""A meter that answers in turn, whatever it is asked; and an association that is open."""

from __future__ import annotations

from collections.abc import Callable

from connectors.protocols.dlms.association import PROPOSED, Associated, Conformance


def link(conformance: Conformance = PROPOSED, max_send_pdu: int = 0) -> Associated:
    return Associated(conformance, max_send_pdu)


def asked(*answers: str) -> tuple[list[str], Callable[[bytes], bytes]]:
    """What is asked, as hex, and the answers in turn."""
    requests: list[str] = []
    left = [bytes.fromhex(answer) for answer in answers]

    def exchange(apdu: bytes) -> bytes:
        requests.append(apdu.hex(" ").upper())
        return left.pop(0)

    return requests, exchange
