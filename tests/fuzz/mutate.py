"""Mutation that needs nothing but a seed: what the decoders are sensitive to is lengths, tags and repetition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz.harness import MAX_INPUT

_OCTETS = bytes.fromhex(
    "0001020304050609 0A0C0D0F10111213141516171819 1B7D7E7F80818283848890A0C0C4C5C7D8DBDDE0F0FEFF".replace(" ", "")
)
_TOKENS = tuple(
    bytes.fromhex(token)
    for token in (
        "0906", "090C", "0204", "0203", "0202", "0101", "0100", "8200FF", "8400010000", "84FFFFFFFF", "81FF", "80",
        "C401C100", "C402C1", "C403C1", "C701C100", "C501C100", "0C01", "D80100", "0E010601", "E0C00001", "E0000001", "FF",
        "0F40000001", "DB08", "07E70401060E302F008000FF", "FFFFFFFFFFFFFFFFFFFFFFFF", "0100010800FF", "0000010000FF",
        "1300", "130202", "13010003", "0F00", "1600", "1604", "7EA0", "00010001", "6808",
    )
)  # fmt: skip


def chance(seed: int | str) -> Random:
    """The same choices under the same seed."""
    return Random(seed)  # noqa: S311 - reproducible is what it must be


def mutated(random: Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds after one to eight changes."""
    data = bytearray(random.choice(seeds)) if seeds else bytearray()
    for _ in range(1 << random.randrange(4)):
        random.choice(_WAYS)(random, data, seeds)
    return bytes(data[:MAX_INPUT])


def _place(random: Random, data: bytearray) -> int:
    return random.randrange(len(data)) if data else 0


def _bit(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[_place(random, data)] ^= 1 << random.randrange(8)


def _octet(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[_place(random, data)] = random.choice(_OCTETS)


def _any_octet(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        data[_place(random, data)] = random.randrange(256)


def _step(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    if data:
        at = _place(random, data)
        data[at] = data[at] + random.choice((-1, 1)) & 0xFF


def _delete(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _place(random, data)
    del data[at : at + random.randrange(1, 9)]


def _cut(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    del data[_place(random, data) :]


def _insert(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _place(random, data)
    data[at:at] = random.choice(_TOKENS)


def _overwrite(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at, token = _place(random, data), random.choice(_TOKENS)
    data[at : at + len(token)] = token


def _repeat(random: Random, data: bytearray, _: Sequence[bytes]) -> None:
    at = _place(random, data)
    part = bytes(data[at : at + random.randrange(1, 33)])
    data[at:at] = part * random.choice((1, 2, 3, 20))


def _splice(random: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    other = random.choice(seeds) if seeds else b""
    if other:
        start = random.randrange(len(other))
        data[_place(random, data) :] = other[start:]


_WAYS: tuple[Callable[[Random, bytearray, Sequence[bytes]], None], ...] = (
    _bit, _octet, _any_octet, _step, _delete, _cut, _insert, _overwrite, _repeat, _splice,
)  # fmt: skip
