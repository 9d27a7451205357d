"""Targets of the side that listens: octets of a connection to telegrams, and each part of that way by itself."""

from __future__ import annotations

import json
import math
from datetime import UTC
from functools import cache
from zoneinfo import ZoneInfo

from connectors.protocols.dlms import axdr, cosem
from connectors.protocols.dlms.alarms import alarms_of
from connectors.protocols.dlms.ciphering import GENERAL_DED, GENERAL_GLO, Keys, cipher, decipher, service_tag
from connectors.protocols.dlms.decode import Assembler, decode_stream
from connectors.protocols.dlms.errors import CipherError, DlmsError
from connectors.protocols.dlms.framing import Apdu, Limits, PushStream, Refused, hdlc, mbus
from connectors.protocols.dlms.framing.wrapper import Deframer, pack
from connectors.protocols.dlms.gbt import Blocks, BlockTransferError
from connectors.protocols.dlms.general_ciphering import KeyInfo, Parties, encipher, signed, unsigned
from connectors.protocols.dlms.general_ciphering import decipher as open_general
from connectors.protocols.dlms.masking import masked
from connectors.protocols.dlms.push import identities, read_plain, reread
from connectors.protocols.dlms.signing import Identity, private_key
from connectors.protocols.dlms.telegram import Telegram, TelegramError, scaled, to_json
from connectors.protocols.dlms.template import PushTemplate
from connectors.templates.loader import load_templates
from tests.fuzz.harness import MAX_INPUT, Pieces, Target, cut, expect, own

TITLE, CLIENT_TITLE = b"HES\x01\x02\x03\x04\x05", b"HEScli\x00\x01"
KEYS = Keys(bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48)), bytes(range(48, 64)), bytes(range(64, 80)))
KEYS2 = Keys(bytes(range(32)), bytes(range(32, 64)), kek=bytes(range(64, 96)), suite=2)
SMALL = Limits(max_apdu=2048, max_frames=16, max_garbage=64)
"""Limits that inputs of a few hundred octets reach."""
TRANSPORTS = (None, "HDLC", "WRAPPER", "MBUS", "RAW")
ZONES = (UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"))


def lookup(title: bytes) -> Keys | None:
    """A key store with the keys of one meter."""
    return KEYS if title == TITLE else None


@cache
def templates() -> tuple[PushTemplate | None, ...]:
    """No template, then each that ships."""
    return (None, *(template.push for _, template in sorted(load_templates().items())))


def run_axdr(data: bytes) -> None:
    """What `decode` reads, `skip` passes over, and the bounds hold: no more elements than octets may unfold to."""
    try:
        end = axdr.skip(data)
    except DlmsError as error:
        own(error)
        end = None
    try:
        value, at = axdr.decode(data)
    except DlmsError as error:
        own(error)
        if error.code == "dlms-truncated":
            expect(end is None, "skip finds an end where decode waits for more")
        return
    expect(end == at, f"skip ends at {end}, decode at {at}")
    expect(_elements(value) <= axdr.MAX_UNFOLDING * (len(data) + 1), "more elements than octets may unfold to")
    expect(axdr.decode(data[:at])[1] == at, "what follows a value matters to it")


def _elements(value: axdr.Value) -> int:
    if isinstance(value, (axdr.Structure, axdr.Array)):
        return 1 + sum(map(_elements, value))
    return 1


def run_times(data: bytes) -> None:
    """A date-time is read, or refused by name; what is read is an instant in every zone."""
    pieces = Pieces(data)
    how = pieces.octet()
    octets = pieces.rest()[:12]
    try:
        time = cosem.parse_datetime(octets, deviation_reversed=bool(how & 1))
    except DlmsError as error:
        own(error)
        expect(cosem.try_datetime(octets, deviation_reversed=bool(how & 1)) is None, "refused, and read by try_datetime")
        return
    if time is not None:
        for zone in ZONES:
            expect(isinstance(time.to_utc_ms(zone), int), "an instant is an integer")


def _read_stream(data: bytes, how: int, transport: str | None) -> tuple[list[Apdu | Refused], bytes]:
    stream = PushStream(SMALL, transport)
    items: list[Apdu | Refused] = []
    replies = b""
    for part in cut(data, how):
        items += stream.feed(part)
        replies += stream.take_replies()
        most = 2 * (SMALL.max_apdu + SMALL.max_garbage + hdlc.MAX_LENGTH) + 0x10000
        expect(stream.buffered <= most, f"{stream.buffered} octets are held, {most} are enough")
    items += stream.close()
    expect(stream.buffered == 0, "octets are held after the end")
    return items, replies


def run_push_stream(data: bytes) -> None:
    """Framing: never an exception, whatever the pieces, and the same items for all of them."""
    pieces = Pieces(data)
    how, transport = pieces.octet(), TRANSPORTS[pieces.octet() % len(TRANSPORTS)]
    octets = pieces.rest()
    items, _ = _read_stream(octets, how, transport)
    if how:
        expect(_read_stream(octets, 0, transport)[0] == items, "items depend on how the octets were cut")
    for item in items:
        if isinstance(item, Apdu):
            expect(len(item.data) <= SMALL.max_apdu and len(item.frames) <= SMALL.max_frames, "an APDU beyond the limits")
        else:
            own(DlmsError(item.code, item.detail))


def run_framed(data: bytes) -> None:
    """Link frames with right checksums whose contents are the input's: HDLC and M-Bus behind their CRC, in any order."""
    pieces = Pieces(data)
    how = pieces.octet()
    octets = b""
    while pieces.left and len(octets) < MAX_INPUT:
        kind = pieces.octet()
        if kind & 3 == 3:
            octets += pieces.piece()
        elif kind & 3 == 2:
            head = pieces.octet()
            part = pieces.piece()[:250]
            octets += mbus.long_frame(part, number=head & 15, last=bool(head & 16), source=head >> 5, destination=kind >> 4)
        else:
            control, information = pieces.octet(), pieces.piece()[:2000]
            octets += hdlc.frame(
                b"\x03" if kind & 4 else b"\x02\x23", b"\x21", control, information, segmented=bool(kind & 1)
            )
    items, _ = _read_stream(octets, how, None)
    if how:
        expect(_read_stream(octets, 0, None)[0] == items, "items depend on how the octets were cut")


def run_hdlc(data: bytes) -> None:
    """One frame, its checksum right or not; what is read is written the same."""
    pieces = Pieces(data)
    octets = pieces.rest()
    if octets[:1] == b"\x01" and len(octets) < 2000:  # with checksums of ours
        octets = b"\x7e" + octets[1:] + hdlc.crc16_x25(octets[1:]) + b"\x7e"
    try:
        frame = hdlc.parse(octets)
    except DlmsError as error:
        own(error)
        return
    expect(len(frame.information) < len(octets), "more information than octets")


def run_mbus(data: bytes) -> None:
    """One long frame. Its reader asks once there is an octet."""
    if not data:
        return
    for octets in (data, data[:-2] + bytes((sum(data[4:-2]) & 0xFF, 0x16))):
        try:
            end = mbus.measure(octets, 0)
            if end is not None and end <= len(octets):
                mbus.parse(octets[:end])
        except DlmsError as error:
            own(error)


def run_deframer(data: bytes) -> None:
    """The wrapper: the same APDUs however the octets are cut, no more held than one frame."""
    pieces = Pieces(data)
    how = pieces.octet()
    octets = pieces.rest()
    found: list[list[tuple[int, int, bytes]]] = [[], []]
    failed = [False, False]
    for way, sizes in enumerate((how, 0)):
        deframer = Deframer(2048)
        try:
            for part in cut(octets, sizes):
                found[way] += deframer.feed(part)
                expect(deframer.buffered <= 2048 + 8, "more is held than one frame")
        except DlmsError as error:
            own(error)
            failed[way] = True
    expect(failed[0] == failed[1], "whether the stream is refused depends on how it was cut")
    if not failed[0]:
        expect(found[0] == found[1], "frames depend on how the octets were cut")
    for source, destination, apdu in found[0]:
        expect(pack(source, destination, apdu) in octets, "a frame that was not there")


def run_blocks(data: bytes) -> None:
    """General block transfer of pushes: bounded, and an error gives back what it held."""
    pieces = Pieces(data)
    blocks = Blocks(max_apdu=1024, max_blocks=8)
    number = 0
    while pieces.left:
        kind = pieces.octet()
        if kind & 1:
            apdu = pieces.piece()
        else:  # the next block, or another
            number = pieces.octet() if kind & 2 else number + 1
            part = pieces.piece()[:127]
            apdu = bytes((0xE0, kind & 0xC0)) + number.to_bytes(2, "big") + b"\0\0" + bytes((len(part),)) + part
        try:
            whole = blocks.feed(apdu)
        except BlockTransferError as error:
            own(error)
            whole, number = error.whole, 0
        except DlmsError as error:
            own(error)
            continue
        expect(whole is None or len(whole) <= max(1024, len(apdu)), "an APDU beyond the limit")
        expect(blocks.buffered <= 1024, "more is held than the limit")


def run_decipher(data: bytes) -> None:
    """Ciphered APDUs as they come, and such as our own keys made of the input."""
    pieces = Pieces(data)
    kind, octets = pieces.octet(), pieces.rest()
    keys = KEYS2 if kind & 1 else KEYS
    title = None if kind & 2 else TITLE
    try:
        opened = decipher(octets, lambda _: keys, title, verify=not kind & 4)
        expect(len(opened.plain) < len(octets), "more comes out than went in")
    except CipherError as error:
        own(error)
    security = kind & 0x30 | keys.suite
    tag = (GENERAL_GLO, GENERAL_DED)[kind >> 3 & 1] if keys is KEYS else GENERAL_GLO
    if kind & 0x40 and octets and (0xC0 <= octets[0] <= 0xC7 or octets[0] in (5, 6, 0xC, 0xD)):
        tag = service_tag(octets)
    if security & 0x30:
        made = cipher(octets, keys, TITLE, kind, security, tag=tag)
        expect(decipher(made, lambda _: keys, TITLE).plain == octets, "what was ciphered does not come back")
        _tampered(made, keys, kind)


def _tampered(made: bytes, keys: Keys, where: int) -> None:
    """One octet changed: never opened where it was authenticated. The tag of a service is the channel's to check."""
    at = 1 + where % (len(made) - 1)
    octets = made[:at] + bytes((made[at] ^ 1,)) + made[at + 1 :]
    try:
        opened = decipher(octets, lambda _: keys, TITLE)
    except CipherError as error:
        own(error)
        return
    expect(not opened.security & 0x10, "an altered APDU verifies")


@cache
def _identities() -> tuple[Identity, Identity]:
    """Ours and the meter's, as each sees it."""
    signing, agreement, theirs, agrees = (private_key(bytes([n]) * 32, 1) for n in (1, 2, 3, 4))
    ours = Identity(signing, agreement, theirs.public_key(), agrees.public_key())
    meter = Identity(theirs, agrees, signing.public_key(), agreement.public_key())
    return ours, meter


_PARTIES = Parties(TITLE, CLIENT_TITLE, b"\0" * 7 + b"\x01")
_AGREED = Keys(bytes(range(16)), bytes(range(16, 32)), kek=bytes(range(64, 80)), suite=1)


def run_general_ciphering(data: bytes) -> None:
    """General-ciphering and general-signing, as they come and as a meter with its keys would make them of the input."""
    pieces = Pieces(data)
    kind, octets = pieces.octet(), pieces.rest()
    ours, meter = _identities()
    if kind & 0x80:
        how = KeyInfo(kind & 3)
        octets = encipher(octets, _AGREED, _PARTIES, 7, how, security=0x31, identity=meter)
        if kind & 0x40:
            at = kind % len(octets)
            octets = octets[:at] + bytes((octets[at] ^ 0x10,)) + octets[at + 1 :]
    for name in (open_general, unsigned):
        try:
            if name is open_general:
                open_general(octets, _AGREED, ours)
            elif ours.peer_signing is not None:
                unsigned(octets, ours.peer_signing)
        except CipherError as error:
            own(error)
    if kind & 0x20 and meter.signing is not None and ours.peer_signing is not None:
        made = signed(octets[:64], meter.signing, _PARTIES)
        expect(unsigned(made, ours.peer_signing).plain == octets[:64], "what was signed does not come back")


def run_decode_stream(data: bytes) -> None:
    """Everything from octets to JSON, with keys, under every template that ships."""
    pieces = Pieces(data)
    template = templates()[pieces.octet() % len(templates())]
    for found in decode_stream(pieces.rest(), lookup, template, limits=SMALL):
        _check(found, template)


def run_telegram(data: bytes) -> None:
    """The same behind framing and ciphering: the input is the plain APDU, and is sealed as a meter would."""
    pieces = Pieces(data)
    kind = pieces.octet()
    template = templates()[pieces.octet() % len(templates())]
    plain = pieces.rest()
    try:
        telegram = read_plain(plain, template=template)
    except DlmsError as error:
        own(error)
    else:
        _check(telegram, template)
        for other in templates()[1 : 1 + (kind & 3)]:
            if other is not None:
                try:
                    _check(reread(telegram, other), other)
                except DlmsError as error:
                    own(error)
    if kind & 0x30 and plain:
        assembler = Assembler(lookup, lambda _: template, limits=SMALL)
        for found in assembler.read(Apdu(cipher(plain, KEYS, TITLE, kind, kind & 0x30), (), "RAW")) + assembler.close():
            _check(found, template)


def _check(found: Telegram | TelegramError, template: PushTemplate | None) -> None:
    json.dumps(to_json(found), allow_nan=False).encode()
    if isinstance(found, TelegramError):
        own(DlmsError(found.code, found.detail))
        return
    identities(found, template)
    alarms_of(found, template or PushTemplate())
    for value in found.values:
        expect(value.raw is None or isinstance(value.raw, (int, float, str)), "a value that is no scalar")
        number = scaled(value.raw, value.scaler)
        expect(not isinstance(number, float) or math.isfinite(number), "a number that is none")
        if value.time is not None:
            value.time.to_utc_ms(ZONES[1])
    if found.clock is not None:
        found.clock.to_utc_ms(ZONES[1])


def run_masked(data: bytes) -> None:
    """Masking takes any octets, keeps their number, and hides the password of an AARQ that can be read."""
    expect(len(masked(data)) == len(data), "masking changes the length")


TARGETS = (
    Target("axdr", run_axdr, 8),
    Target("times", run_times, 4),
    Target("push_stream", run_push_stream, 3),
    Target("framed", run_framed, 2),
    Target("hdlc", run_hdlc, 4),
    Target("mbus", run_mbus, 3),
    Target("deframer", run_deframer, 4),
    Target("blocks", run_blocks, 3),
    Target("decipher", run_decipher, 2),
    Target("general_ciphering", run_general_ciphering),
    Target("decode_stream", run_decode_stream, 2),
    Target("telegram", run_telegram, 3),
    Target("masked", run_masked, 4),
)
