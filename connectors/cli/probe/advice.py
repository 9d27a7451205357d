"""What to try next, in options of `hes probe`: beyond what an error says by itself."""

from __future__ import annotations

from connectors.cli.probe.address import Target
from connectors.protocols.dlms.access import Access
from connectors.protocols.dlms.errors import DlmsError

_REFUSALS = (
    ("authentication-required", "this client must authenticate: --auth low with a password, or --auth hls-gmac --ek --ak"),
    ("mechanism-name-required", "this client must authenticate: --auth low with a password, or --auth hls-gmac --ek --ak"),
    ("mechanism-name-not-recognised", "another --auth for this --client; the template or the vendor's sheet tells which"),
    ("authentication-failure", "check the password letter by letter, or that --ek and --ak are this meter's"),
    (
        "application-context-name",
        "--security both with --ek and --ak for a meter that ciphers, or none; or --short-names, --logical-names",
    ),
    ("AP-title-not-recognized", "--system-title as the meter has it for this client"),
)
"""Words of a refused association to what may mend it."""

_HANGS_UP = "meters hang up on a client that they do not know: --client 16 is the public one, --server another device"
_ON_KEYS = "; and on wrong keys: check --ek, --ak, --suite and --counter"

_ALWAYS = {
    "peer-authentication": "check that --ek and --ak, or the password, are this meter's; somebody else may be answering",
    "peer-title": "--system-title is the client's and must differ from the meter's; check that this is the meter you mean",
    "key-missing": "give --ek and --ak; for hls-ecdsa --signing-key and --meter-certificate; see --message-key",
    "cipher-authentication": "the keys are another meter's, or of another suite: check --ek, --ak and --suite",
    "cipher-policy": "the meter protects less than was asked for: compare --security with its security setup",
    "cipher-counter": "raise --counter above what the meter has heard; 0.0.43.1.0.255 tells, read as the public client",
    "cipher-suite-unsupported": "check --suite",
    "link-refused": "the meter is busy with another client or does not know --client: wait a minute, or try --client 16",
    "profile-clock": "give the meter's time zone, such as --zone Europe/Oslo",
    "profile-shape": "is it a profile generic (class 7)? --objects shows what the meter has",
    "peer-access": "--objects shows what this client may read; another --client may be allowed more",
}


def advice(error: DlmsError) -> str:
    """On an error within an association; "" where the error says all."""
    if error.code == "peer-exception" and "invocation-counter" in error.detail:
        return "give --counter with a number above the one that the meter named, or leave it out to have it read"
    if "type-unmatched" in error.detail:
        return "give --zone, the meter's time zone: some take a span in their own time only"
    return _ALWAYS.get(error.code, "")


def on_opening(error: DlmsError, target: Target, access: Access, heard: bytes, *, hdlc: bool) -> str:
    """On an error before the association was there. `heard` is what came from the meter at all."""
    began = heard[:8].hex(" ").upper()
    hung_up = error.code == "peer-closed"
    known = (
        (heard[:1] == b"\x7e" and not hdlc, "it answers in HDLC frames: add --hdlc"),
        (heard[:2] == b"\0\1" and hdlc, "it answers with the wrapper: leave out --hdlc"),
        (error.code == "link-timeout" and not heard, _silence(target, hdlc=hdlc)),
        (
            error.code == "link-timeout" and hdlc,
            "it answers from another address: --trace shows which, for --server, --physical and --address-octets",
        ),
        (error.code == "frame-garbage", f"what came began with {began}: check host and port, or try --hdlc"),
        (hung_up and hdlc and not heard, "it hangs up on HDLC: try --wrapper, or another --client or --physical"),
        (hung_up, _HANGS_UP + (_ON_KEYS if access.counted else "")),
        (error.code == "peer-association-refused", _on_refusal(error.detail, access.pull.auth)),
    )
    return next((mend for applies, mend in known if applies), advice(error))


def _on_refusal(detail: str, auth: str) -> str:
    for words, mend in _REFUSALS:
        if words in detail and (auth != "none" or "failure" not in words):
            return mend
    if auth == "none":
        return "--auth low with a password or --auth hls-gmac --ek --ak for this client, or --client 16, the public one"
    return "check the password or keys for this --client; --client 16 --auth none is the public client of most meters"


def _silence(target: Target, *, hdlc: bool) -> str:
    if target.datagram:
        return "UDP loses datagrams and tells nobody: try again, with a longer --timeout, and check --client and --server"
    if hdlc:
        return "try without --hdlc, another --client or --physical (127 is whichever meter is there), or --address-octets 4"
    return "the connection is there and nobody speaks: try --hdlc, another --client or --server, or a longer --timeout"
