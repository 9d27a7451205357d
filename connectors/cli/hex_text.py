"""Octets from text as people paste it: hex alone, with a log around it, or a dump with offsets.

Hex may be wrapped, spaced, separated by colons, commas or dashes, prefixed by 0x, and commented by # or //. Of a log's
lines, times, bracketed tags and labels such as "RX:" are taken off, and lines without hex are passed over. Where a line has
words and hex, only a run of octets long enough to be no accident counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_COMMENT = re.compile(r"#(?!\d{1,6}[:\s]).*|//.*")
_DATE = r"\d{4}[-/.]\d\d[-/.]\d\d|\d\d[./]\d\d[./]\d{2,4}"
_TIME = r"(?:[01]?\d|2[0-3]):[0-5]\d:[0-5]\d(?:[.,]\d+)?(?![0-9A-Fa-f:])(?:Z|[+-]\d\d:?\d\d\b)?"
_STAMP = re.compile(rf"(?<![0-9A-Fa-f:.-])(?:(?:{_DATE})(?:[T ]{_TIME})?|{_TIME})(?![0-9A-Fa-f:-])")
_TAGS = re.compile(r"\s*(?:\[[^\]]*\]|\([A-Za-z]{1,8}\))+")
_LABEL = re.compile(r"\s*(?:[A-Za-z][\w.-]{0,15}(?<![0-9A-Fa-f][0-9A-Fa-f])\s*[:=]|[:<>|=]+)\s*")
_PREFIX = re.compile(r"0[xX](?=[0-9a-fA-F]{2})|\\x(?=[0-9a-fA-F]{2})")
_PIECE = re.compile(r"[^\s,;:\-\"'(){}\[\]<>|=`]+")
_OCTETS = re.compile(r"(?:[0-9a-fA-F]{2})+")
_SEPARATORS = re.compile(r"[\s,;:\-]")
_OFFSET = re.compile(r"\s*([0-9a-fA-F]{4,8})(?::|(?=\s{2,}))\s*(?=\S)")
_WHOLE = 4  # octets of a line of hex alone where no line of hex stands before it
_RUN = 8  # octets beside words: more than a MAC address has
_GO_ON = 2  # octets at a line's beginning, the line before being hex
_WIDE = 16  # octets in a line of a dump
_STARTS = ("7E", "68")
_LABELS = 4


class NotHexError(ValueError):
    """The text holds no hex: `found` is what stands where digits should, or "" where a digit is missing or too many."""

    def __init__(self, found: str, digits: int) -> None:
        super().__init__(found)
        self.found, self.digits = found, digits


def octets_in(text: str) -> bytes:
    """All octets that the text has, in order. Raises NotHexError."""
    lines = [line for line in (_COMMENT.sub("", line) for line in text.splitlines()) if line.strip()]
    dumped = _dump(lines)
    if dumped is not None:
        return bytes.fromhex(dumped)
    lines = [_PREFIX.sub(" ", _unstamped(line)) for line in lines]
    bare = _SEPARATORS.sub("", "".join(lines))
    digits = re.match(r"[0-9a-fA-F]*", bare)
    end = digits.end() if digits else 0
    if end == len(bare):
        if end % 2:
            raise NotHexError("", end)
        return bytes.fromhex(bare)
    found = "".join(_of_log(lines))
    if not found:
        raise NotHexError(bare[end : end + 12], end)
    return bytes.fromhex(found)


def _unstamped(line: str) -> str:
    """The line without its times, and without the tags and labels before its hex."""
    line = _STAMP.sub(" ", line)
    if (tags := _TAGS.match(line)) and (tags.end() < len(line)):
        line = line[tags.end() :]
    for _ in range(_LABELS):
        label = _LABEL.match(line)
        line = line[label.end() :] if label else line
    return line


def _of_log(lines: Sequence[str]) -> Iterator[str]:
    """The hex digits of each line that has some. Raises NotHexError for a long one with a wrong digit in it."""
    before = False
    for line in lines:
        runs = list(_runs(line))
        whole = len(runs) == 1 and runs[0][1] and runs[0][2]
        taken = ""
        for digits, first, _ in runs:
            size = len(digits) // 2
            goes_on = first and before and (whole or size >= _GO_ON)
            begins = whole and (size >= _WHOLE or digits[:2].upper() in _STARTS)
            if goes_on or begins or size >= _RUN:
                taken += digits
        before = bool(taken)
        yield taken


def _runs(line: str) -> Iterator[tuple[str, bool, bool]]:
    """Runs of octets: their digits, whether the run begins the line, and whether it ends it."""
    pieces = [match.group() for match in _PIECE.finditer(line)]
    run, start = "", 0
    for at, piece in enumerate([*pieces, ""]):
        if _OCTETS.fullmatch(piece):
            start = start if run else at
            run += piece
            continue
        if len(piece) >= 2 * _RUN and sum(c in "0123456789abcdefABCDEF" for c in piece) * 10 >= 9 * len(piece):
            end = next((i for i, c in enumerate(piece) if c not in "0123456789abcdefABCDEF"), len(piece))
            raise NotHexError(piece[end : end + 12], len(piece))
        if run:
            yield run, start == 0, at == len(pieces)
        run = ""


def _dump(lines: Sequence[str]) -> str | None:
    """The digits of a dump whose lines begin with offsets (xxd, hexdump -C, Wireshark); None where it is none.

    Offsets begin again where another packet does.
    """
    heads = [_OFFSET.match(line) for line in lines]
    if not lines or any(head is None for head in heads):
        return None
    offsets = [int(head.group(1), 16) for head in heads if head is not None]
    out: list[str] = []
    expected = 0
    for line, head, offset, after in zip(lines, heads, offsets, [*offsets[1:], 0], strict=True):
        if head is None or offset not in (expected, 0):
            return None
        size = after - offset if 0 < after - offset <= 4 * _WIDE else 0
        digits = _columns(line[head.end() :], size)
        if not digits:
            return None
        out.append(digits)
        expected = offset + len(digits) // 2
    return "".join(out)


def _columns(line: str, size: int) -> str:
    """The digits of `size` octets, or of all there are before the characters beside them where that is not known."""
    digits, end = "", 0
    for match in _PIECE.finditer(line):
        gap, piece = line[end : match.start()], match.group()
        full = len(digits) >= 2 * (size or _WIDE)
        if full or not _OCTETS.fullmatch(piece) or "|" in gap or (not size and len(gap) > 2):
            break
        digits += piece
        end = match.end()
    return digits[: 2 * size] if size else digits
