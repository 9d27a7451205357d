"""Hex as people paste it: with a log around it, or as a dump. The log forms are those of issues of esphome, Tasmota and
UtilitechAS/amsreader-firmware; the octets are one HDLC frame.
"""

from __future__ import annotations

import pytest

from connectors.cli.hex_text import NotHexError, octets_in

FRAME = "7EA027010201105A87E6E7000F40000000090C07E7031603031C2AFF800000020106000008E580BB7E"
OCTETS = bytes.fromhex(FRAME)
SPACED = OCTETS.hex(" ").upper()
LINES = [OCTETS[at : at + 16].hex(" ").upper() for at in range(0, len(OCTETS), 16)]


def each(form: str, lines: list[str] = LINES) -> str:
    return "\n".join(form.format(line) for line in lines)


def dump(form: str, *, size: int = 16, of: str = "{:02x}") -> str:
    """Lines with offsets, their octets, and the characters that they are."""
    out = []
    for at in range(0, len(OCTETS), size):
        part = OCTETS[at : at + size]
        text = "".join(chr(octet) if 0x20 <= octet < 0x7F else "." for octet in part)
        out.append(form.format(at, " ".join(of.format(octet) for octet in part), text))
    return "\n".join(out)


def xxd() -> str:
    out = []
    for at in range(0, len(OCTETS), 16):
        part = OCTETS[at : at + 16].hex()
        pairs = " ".join(part[i : i + 4] for i in range(0, len(part), 4))
        out.append(f"{at:08x}: {pairs:<39}  {'~' * (len(part) // 2)}")
    return "\n".join(out)


FORMS = {
    "time before it": f"2025-12-14 16:00:11.873\n{FRAME}\n",
    "time on its line": f"15:42:31 {SPACED}",
    "time and colon (Tasmota)": each("13:19:16.384 : {} "),
    "time with a zone": f"2026-07-14T09:58:13.811Z {FRAME}",
    "bracketed time": f"[2025-01-01 10:00:00] {FRAME}",
    "German date": f"27.09.2021 20:56:00 {FRAME}",
    "direction": f"RX: {SPACED}",
    "time and direction": f"15:42:31\tRX:\t{SPACED}",
    "ESPHome's uart": each("[08:54:20][D][uart_debug:109]: <<< {}"),
    "ESPHome's component": f"[08:54:20.123][VV][dlms:030]: Buffer content:\n[08:54:20.124][VV][dlms:030]: {FRAME}",
    "AMS reader's debug": "(V) HDLC frame:\n" + each("(V) {}"),
    "words before it": f"DEBUG (MainThread) Got valid frame of expected length with correct checksum: {FRAME.lower()}",
    "JSON": f'{{"time": 1733687130, "data": "{FRAME}", "len": 41}}',
    "C": "const uint8_t frame[] = {" + ", ".join(f"0x{octet:02X}" for octet in OCTETS) + "};",
    "Python": "frame = b'" + "".join(f"\\x{octet:02x}" for octet in OCTETS) + "'",
    "banner before it": f"* Host name: ams-c6d8 IP:10.0.10.59 Mac address:58:CF:79:A1:D8:C6\n* Heap: 110380\n{FRAME}",
    "annotated": f"{LINES[0]} // head\n{LINES[1]} - Active+ Energy\n{LINES[2]}\n",
    "Wireshark": dump("{:04x}   {:<47}   {}"),
    "hexdump -C": dump("{:08x}  {:<48} |{}|"),
    "offsets alone": dump("{:04x}: {}", of="{:02X}"),
    "xxd": xxd(),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_forms(text: str) -> None:
    assert octets_in(text) == OCTETS


def test_several_packets_of_a_dump() -> None:
    assert octets_in(dump("{:04x}   {:<47}   {}") + "\n\n" + dump("{:04x}   {:<47}   {}")) == OCTETS * 2


def test_several_frames_of_a_log() -> None:
    assert octets_in("\n".join(f"2025-12-14 {hour:02}:00:11.873\n{FRAME}\n" for hour in (16, 17))) == OCTETS * 2


REFUSED = {
    "words": ("hello", "hello"),
    "a wrong digit in the middle": (f"2025-12-14 16:00:11\n{FRAME[:20]}G{FRAME[21:]}\n{FRAME}", "G" + FRAME[21:32]),
    "a digit missing": (FRAME[:-1], ""),
    "a MAC address": ("Mac address:58:CF:79:A1:D8:C6", "Macaddress58"),
}


@pytest.mark.parametrize(("text", "found"), REFUSED.values(), ids=REFUSED)
def test_refused(text: str, found: str) -> None:
    with pytest.raises(NotHexError) as caught:
        octets_in(text)
    assert found[:4] in caught.value.found
