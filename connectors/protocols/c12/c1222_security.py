"""Messages sealed and opened: clear, authenticated, ciphered and authenticated, by EAX' (ANSI C12.22, 5.3.4.13).

What is authenticated is the canonical header: A1, A2 (as absolute), A4, A7, A8, 8B, AC and BE up to the EPSEM's control
octet, A6 (as absolute), key id, IV. In authenticated mode the services follow it. Relative titles are made absolute by the
base that the network was given, which both sides must agree on.

A secured message of 16 octets of services or less, or of such a header, is `short`: it is read, and `may_act` is False
unless the policy says otherwise. Keys never show in a repr or an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from connectors.protocols.c12 import acse, ber, eax, epsem
from connectors.protocols.c12.acse import Apdu, Authentication
from connectors.protocols.c12.epsem import Body, Control, Mode, Respond
from connectors.protocols.c12.errors import CipherError, DecodeError
from connectors.protocols.c12.titles import C1222_BASE, ApTitle, of_element

KeyLookup = Callable[[str, int], bytes | None]
"""The key of 16 octets that the node with this absolute title (empty where it names none) has under this key id, or None."""

IV_OCTETS = acse.IV_OCTETS


class Short(Enum):
    """What a secured message may do that is too short for EAX' to protect."""

    REFUSE = "refuse"
    READ = "read"
    ACT = "act"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a message must be to be taken, and what it may cause."""

    least: Mode = Mode.CLEAR
    """Less protected messages are refused: "c1222-policy"."""
    short: Short = Short.READ
    base: ApTitle = C1222_BASE
    clear_acts: bool = True
    """Whether a message in clear may cause an action. False where the meter secures all it sends."""


@dataclass(frozen=True, slots=True, repr=False)
class Seal:
    """What secures a message that is sent. Raises ValueError for sizes that are none."""

    mode: Mode
    key: bytes
    key_id: int
    iv: bytes
    """Never twice under one key with the same titles and invocation id."""

    def __post_init__(self) -> None:
        if len(self.key) != eax.KEY or len(self.iv) != IV_OCTETS or not 0 <= self.key_id <= 0xFF:
            raise ValueError(f"an EAX' key has {eax.KEY} octets, an IV {IV_OCTETS}, a key id is 0 to 255")

    def __repr__(self) -> str:
        return f"Seal({self.mode.name}, key=***, key_id={self.key_id}, iv={self.iv.hex()})"


@dataclass(frozen=True, slots=True)
class Opened:
    """A message in clear, and what protected it."""

    apdu: Apdu
    control: Control
    body: Body = field(repr=False)
    mode: Mode
    key_id: int | None
    iv: bytes | None
    short: bool
    """Secured, but so short that EAX' does not protect it."""
    may_act: bool
    """Whether it may cause an action: not where the policy says that its protection is too little."""
    plain: bytes = field(default=b"", repr=False)
    """The body's octets in clear, where they stand in the message's `information` after its control octet."""

    @property
    def services(self) -> tuple[bytes, ...]:
        """Requests or responses, in order."""
        return self.body.services

    @property
    def answer(self) -> bool:
        """Whether it answers a request: it names the request's invocation id."""
        return self.apdu.called_invocation is not None


def seal(apdu: Apdu, body: Body, seal_with: Seal | None = None, *, respond: Respond = Respond.ALWAYS, proxy: bool = False,
         recovery: bool = False, base: ApTitle = C1222_BASE) -> bytes:  # fmt: skip
    """The octets of a message that carries `body`. `apdu` gives titles, ids and qualifier; what it carries is replaced."""
    mode = Mode.CLEAR if seal_with is None else seal_with.mode
    control = bytes((Control(mode, respond, body.ed_class is not None, proxy, recovery).encode(),))
    plain = epsem.encode_body(body)
    if seal_with is None or mode is Mode.CLEAR:
        return acse.encode(replace(apdu, information=control + plain))
    value = Authentication(seal_with.key_id, seal_with.iv)
    draft = acse.encode(replace(apdu, authentication=value, information=control + plain + bytes(eax.TAG)))
    header = canonical(acse.split(draft), base, (seal_with.key_id, seal_with.iv))
    # The user information is the last element, and what is secured stands at its end.
    if mode is Mode.AUTHENTICATED:
        return draft[: -eax.TAG] + eax.authenticate(seal_with.key, header + plain)
    enciphered, tag = eax.encipher(seal_with.key, header, plain)
    return draft[: -eax.TAG - len(plain)] + enciphered + tag


def open_(octets: bytes, lookup: KeyLookup, policy: Policy | None = None, *, either: bool = False,
          held: tuple[int, bytes] | None = None) -> Opened:  # fmt: skip
    """The message that `octets` are, in clear and verified. Raises DecodeError, CipherError.

    The key is the calling title's; with `either`, for looking at captures of both sides, the called title's else. `held` are
    key id and IV of the session, for a message that names none. Whether the message is new is `Replays`' to say.
    """
    parts = acse.split(octets)
    return open_parts(parts, acse.apdu_of(parts), lookup, policy, either=either, held=held)


def open_parts(parts: tuple[ber.Element, ...], apdu: Apdu, lookup: KeyLookup, policy: Policy | None = None, *,
               either: bool = False, held: tuple[int, bytes] | None = None) -> Opened:  # fmt: skip
    """`open_` of a message that was taken apart already: its elements, and what they are."""
    policy = policy or Policy()
    if apdu.segment:
        raise DecodeError("c1222-segment", "a segment of a message: put the message together first")
    if apdu.information is None:
        raise DecodeError("c1222-acse", "a message without user information: nothing is asked, nothing is said")
    control, body, tag = epsem.split(apdu.information)
    if control.mode < policy.least:
        detail = f"a message of {_who(apdu)} is {control.mode.name.lower()}, {policy.least.name.lower()} is asked for"
        raise CipherError("c1222-policy", f"{detail}: compare the meter's security mode", _title(apdu, policy.base))
    if control.mode is Mode.CLEAR:
        return Opened(apdu, control, epsem.body_of(control, body), Mode.CLEAR, None, None, False, policy.clear_acts, body)
    value = apdu.authentication
    if value is not None and value.form != "c1222":
        what = f"its authentication value is {value.form}'s, EAX' wants one of C12.22"
        raise CipherError("c1222-acse", f"a secured message of {_who(apdu)}: {what}", _title(apdu, policy.base))
    key_id, iv = _key_and_iv(value, held)
    header = canonical(parts, policy.base, (None if value and value.key_id is None else key_id, iv))
    key = _key(apdu, key_id, lookup, policy.base, either=either)
    if control.mode is Mode.AUTHENTICATED:
        plain = body if eax.decipher(key, header + body, b"", tag) is not None else None
    else:
        plain = eax.decipher(key, header, body, tag)
    if plain is None:
        detail = f"the MAC of a message of {_who(apdu)} does not verify: key id {key_id} is another key, or it was altered"
        raise CipherError("c1222-authentication", detail, _title(apdu, policy.base))
    short = min(len(header), len(plain)) <= eax.SHORT
    if short and policy.short is Short.REFUSE:
        detail = f"a secured message of {_who(apdu)} with {len(plain)} octets: EAX' protects no less than {eax.SHORT + 1}"
        raise CipherError("c1222-short-cleartext", f"{detail}; the policy forbids less", _title(apdu, policy.base))
    may_act = not short or policy.short is Short.ACT
    return Opened(apdu, control, epsem.body_of(control, plain), control.mode, key_id, iv, short, may_act, plain)


def canonical(parts: Iterable[ber.Element], base: ApTitle, ends: tuple[int | None, bytes | None]) -> bytes:
    """What is authenticated of a message that is made of these elements; it ends with key id and IV, where there are any."""
    by_tag = {element.tag: element for element in parts}
    out = bytearray()
    for tag in _ORDER:
        element = by_tag.get(tag)
        if element is None:
            continue
        if tag in (acse.CALLED, acse.CALLING):
            out += ber.tlv(tag, of_element(ber.read(element.content, 0)).absolute(base).encode())
        elif tag == acse.INFORMATION:
            control_at = acse.information_at(element) - element.content_at
            out += bytes((tag,)) + ber.length(len(element.content)) + element.content[: control_at + 1]
        else:
            out += ber.tlv(tag, element.content)
    key_id, iv = ends
    return bytes(out) + (b"" if key_id is None else bytes((key_id,))) + (iv or b"")


def keyring(keys: Mapping[tuple[str, int], bytes]) -> KeyLookup:
    """A lookup in a mapping of (absolute title, key id). A title "*" is any."""

    def lookup(title: str, key_id: int) -> bytes | None:
        return keys.get((title, key_id)) or keys.get(("*", key_id))

    return lookup


_ORDER = (
    acse.CONTEXT, acse.CALLED, acse.CALLED_INVOCATION, acse.QUALIFIER, acse.CALLING_INVOCATION, acse.MECHANISM,
    acse.MECHANISM_EXPLICIT, acse.AUTHENTICATION, acse.INFORMATION, acse.CALLING,
)  # fmt: skip


def _key_and_iv(value: Authentication | None, held: tuple[int, bytes] | None) -> tuple[int, bytes | None]:
    """A message without a key id means 0."""
    if value is None:
        return held or (0, None)
    return value.key_id or 0, value.iv


def _key(apdu: Apdu, key_id: int, lookup: KeyLookup, base: ApTitle, *, either: bool) -> bytes:
    titles = [
        "" if title is None else title.absolute(base).text
        for title in ((apdu.calling, apdu.called) if either else (apdu.calling,))
    ]
    for title in titles:
        if (key := lookup(title, key_id)) is not None:
            return key
    whose = " or ".join(title or "a node without a title" for title in titles)
    detail = f"no key with id {key_id} for {whose}: put the meter's key under its application title into the key store"
    raise CipherError("c1222-key-missing", detail, _title(apdu, base))


def _title(apdu: Apdu, base: ApTitle) -> str | None:
    return None if apdu.calling is None else apdu.calling.absolute(base).text


def _who(apdu: Apdu) -> str:
    return "a node without a title" if apdu.calling is None else apdu.calling.text
