"""What is learnt of one telegram reads every other as the ordinary way does, whatever is changed in it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from connectors.protocols.dlms.decode import decode_stream
from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.learnt import LONGEST, Shape, Shapes, learn
from connectors.protocols.dlms.push import GENERIC, read_plain
from connectors.protocols.dlms.telegram import Telegram
from connectors.protocols.dlms.template import Position, PushTemplate
from connectors.simulator.config import Address, FleetConfig
from connectors.simulator.models import MODELS, Layout, MeterModel
from connectors.simulator.plan import plan_fleet
from connectors.simulator.telegrams import Telegram as Said
from connectors.simulator.telegrams import plain_apdu, register_values
from connectors.templates.loader import load_templates
from tests.unit.connectors.protocols.dlms.test_captures import NAMES, capture, only

FLEET = plan_fleet(FleetConfig(Path("unused"), meters=300, unconfirmed_share=0.4, udp_to=Address("127.0.0.1", 1)))
TEMPLATES = {template.name: template.push for template in load_templates().values()} | {"": GENERIC}
TIME = bytes.fromhex("07E704010F0E302F00800000")
NAME = b"\x09\x06" + bytes((0, 0, 42, 0, 0, 255))
ENERGY = b"\x09\x06" + bytes((1, 0, 1, 8, 0, 255))
WH = bytes.fromhex("02020F00161E")


def outcome(read: object, plain: bytes, template: PushTemplate) -> tuple[object, ...]:
    """The telegram with the types of its values, or how it was refused."""
    assert callable(read)
    try:
        telegram: Telegram = read(plain, "RAW", template)
    except DlmsError as error:
        return error.code, error.detail
    kinds = [(type(value.raw), type(value.octets)) for value in telegram.values]
    return telegram, kinds, [type(item) for item in telegram.unnamed]


def same(shapes: Shapes, plain: bytes, template: PushTemplate) -> None:
    assert outcome(shapes.read, plain, template) == outcome(read_plain, plain, template), plain.hex()


def shape_of(plain: bytes, template: PushTemplate = GENERIC) -> Shape | None:
    return learn(read_plain(plain, "RAW", template), template)


def mutated(chance: random.Random, plain: bytes) -> bytes:
    """A few octets changed, to anything or to what means something somewhere."""
    other = bytearray(plain)
    for _ in range(chance.randint(1, 6)):
        other[chance.randrange(len(other))] = chance.choice((0, 1, 2, 6, 9, 12, 15, 22, 255, chance.randrange(256)))
    return bytes(other)


def notification(body: bytes, invoke_id: int = 0x40000007) -> bytes:
    return b"\x0f" + invoke_id.to_bytes(4) + b"\x0c" + TIME + body


def reading(name: str = "BEN0000000000001", value: int = 7) -> bytes:
    """The simplest push there is: who, and one register."""
    who = b"\x02\x02" + NAME + b"\x09" + bytes((len(name),)) + name.encode()
    return notification(b"\x02\x02" + who + b"\x02\x03" + ENERGY + b"\x06" + value.to_bytes(4) + WH)


@pytest.mark.parametrize("name", NAMES)
def test_changed_captures_are_read_as_ever(captures_dir: Path, name: str) -> None:
    octets, lookup = capture(captures_dir, name)
    plain = only(list(decode_stream(octets, lookup, verify=True))).plain
    chance = random.Random(name)  # noqa: S311 - a test that repeats
    for template in TEMPLATES.values():
        shapes = Shapes()
        for _ in range(3):
            same(shapes, plain, template)
        for _ in range(20):
            same(shapes, mutated(chance, plain), template)


@pytest.mark.parametrize("model", [model for model in MODELS if model.c12 is None], ids=lambda model: str(model.template))
def test_simulated_meters_are_read_as_ever_and_most_of_them_by_a_shape(model: MeterModel) -> None:
    shapes, chance = Shapes(), random.Random(7)  # noqa: S311 - a test that repeats
    plans = [plan for plan in FLEET if plan.model is model][:6]
    assert plans
    for template in (GENERIC, TEMPLATES[model.template]):
        for at in range(4):
            for plan in plans:
                at_ms = 1_790_000_000_000 + 900_000 * at
                said = Said(at_ms, plan.first_invoke_id + at, register_values(plan, at_ms), confirmed=bool(at % 2))
                plain = plain_apdu(plan, said)
                same(shapes, plain, template)
                same(shapes, mutated(chance, plain), template)
    if model.layout in (Layout.TAGGED, Layout.OBJECT_LIST):
        shape = shape_of(plain)
        assert shape is not None
        assert len(shape.slots) == len(register_values(plans[0], 1_790_000_000_000))


def node(chance: random.Random, depth: int = 0) -> bytes:
    """Any A-XDR, mostly of what names, units and values are made of."""
    name = b"\x09\x06" + bytes((chance.choice((0, 1)), 0, chance.choice((1, 25, 42, 96)), chance.choice((8, 9)), 0, 255))
    small = b"\x12" + chance.choice((0, 1, 3, 8, 40, 500)).to_bytes(2)
    leaf = (
        name, name, name, small, WH, b"\x11\x02", b"\x0f" + chance.randbytes(1), b"\x16\x1e", b"\x00", b"\x09\x0c" + TIME,
        b"\x09\x0c" + chance.randbytes(12), b"\x09\x04ABCD", b"\x0a\x03xyz", b"\x0c\x02" + "é".encode(), b"\x0a\x02\xff\xfe",
        b"\x06" + chance.randbytes(4), b"\x06\x09" + chance.randbytes(3), b"\x05" + chance.randbytes(4),
        b"\x15" + chance.randbytes(8), b"\x17" + chance.randbytes(4), b"\x04\x0a" + chance.randbytes(2), b"\x19" + TIME,
        b"\x03\x01", b"\x0d" + chance.randbytes(1),
    )  # fmt: skip
    if depth > 3 or chance.random() < 0.55:
        return chance.choice(leaf)
    items = [node(chance, depth + 1) for _ in range(chance.randint(0, 5))]
    return bytes((chance.choice((1, 2, 2, 2)), len(items))) + b"".join(items)


POSITIONS = tuple(Position(f"1.0.{at}.8.0.255", 3, 2, 0, "Wh") for at in range(1, 4))
ODD = PushTemplate(
    "odd", lists={("", 3): POSITIONS}, objects={"*": POSITIONS}, unnamed={0: "1.0.9.9.0.255"}, deviation_reversed=True
)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_a_body_holds_its_shape_says_the_same(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a test that repeats
    learnt = 0
    for _ in range(40):
        items = [node(chance) for _ in range(chance.randint(1, 5))]
        plain = notification(b"\x02" + bytes((len(items),)) + b"".join(items))
        for template in (GENERIC, ODD):
            shapes = Shapes()
            for _ in range(3):
                same(shapes, plain, template)
            try:
                shape = shape_of(plain, template)
            except DlmsError:
                continue
            learnt += shape is not None
            for _ in range(8):
                same(shapes, mutated(chance, plain), template)
            if shape is not None:
                loose = bytes(~octet & 0xFF for octet in shape.mask.to_bytes(len(plain)))
                for _ in range(8):
                    noise = chance.randbytes(len(plain))
                    same(shapes, bytes(a ^ (b & c) for a, b, c in zip(plain, noise, loose, strict=True)), template)
    assert learnt


def test_only_what_was_not_looked_at_may_differ() -> None:
    shape = shape_of(reading())
    assert shape is not None
    assert shape.fits(int.from_bytes(reading("XYZ9999999999999", 0xFFFFFFFF)))
    named = notification(
        b"\x02\x04\x12\x00\x03" + ENERGY + b"\x0f\x02" + b"\x06" + bytes(4)
    )  # class, OBIS, attribute, value
    shape = shape_of(named)
    assert shape is not None
    assert [place for place, _ in shape.slots] == [0]
    for at in (21, 22, 32):  # of the class and the attribute
        other = bytearray(named)
        other[at] ^= 1
        assert not shape.fits(int.from_bytes(other))


def test_a_text_that_becomes_octets_is_read_the_ordinary_way() -> None:
    shapes = Shapes()
    body = b"\x02\x01\x02\x02" + NAME + b"\x0a\x04"
    for text in (b"ABCD", b"EFGH", b"IJKL", b"\xff\xfeAB"):
        same(shapes, notification(body + text), GENERIC)


def test_what_never_repeats_is_seldom_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bytes] = []
    monkeypatch.setattr("connectors.protocols.dlms.learnt.learn", lambda telegram, _: tried.append(telegram.plain))
    shapes = Shapes()
    for value in range(100):
        shapes.read(reading(value=value), "RAW")
    assert len(tried) == len((2, 4, 8, 16, 32, 64))


def test_long_telegrams_and_events_are_not_learnt() -> None:
    shapes = Shapes()
    long = notification(b"\x02\x02" + ENERGY + b"\x09\x82\x10\x01" + bytes(LONGEST + 1))
    event = bytes.fromhex("C200 0001 0000600B00FF 02 1103".replace(" ", ""))
    for plain in (long, event):
        for _ in range(4):
            same(shapes, plain, GENERIC)
    assert not shapes._known


def test_meters_of_one_type_share_a_shape_and_headers_their_confirmations() -> None:
    shapes = Shapes()
    for number in range(10):
        same(shapes, reading(f"BEN{number:013d}", number), GENERIC)
    assert [len(kin.shapes) for kin in shapes._known.values()] == [1]
    same(shapes, reading()[:1] + b"\x00\x00\x00\x05" + reading()[5:], GENERIC)
