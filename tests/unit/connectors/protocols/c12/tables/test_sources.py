"""What sources measure: units, OBIS codes, and the exact factor that turns numbers into the unit."""

from __future__ import annotations

from fractions import Fraction

import pytest

from connectors.protocols.c12.errors import DecodeError
from connectors.protocols.c12.tables.sources import Scale, scale_of, source, sources
from connectors.protocols.c12.tables.units import Quantity, Told, obis
from tests.unit.connectors.protocols.c12.tables.meters import model, number, table0, uom
from tests.unit.connectors.protocols.c12.tables.meters import sources as source_tables


def quantity(word: int) -> Quantity:
    (entry,) = model(t11=bytes((0, 1, 0, 0, 0, 0, 2, 0)), t12=number(word, 4, "little")).table(12).records("UOM_ENTRY")
    return Quantity.of(entry)


ALL = (1, 2, 3, 4)

CODES: list[tuple[str, int, Told, int, str, str]] = [
    ("delivered", uom(0, 0), Told.TOTAL, 0, "1.0.1.8.0.255", "Wh"),
    ("delivered, tier 2", uom(0, 0), Told.TOTAL, 2, "1.0.1.8.2.255", "Wh"),
    ("received", uom(0, 0, quadrants=(2, 3)), Told.TOTAL, 0, "1.0.2.8.0.255", "Wh"),
    ("sum", uom(0, 0, quadrants=ALL), Told.TOTAL, 0, "1.0.15.8.0.255", "Wh"),
    ("net", uom(0, 0, quadrants=ALL, net=True), Told.TOTAL, 0, "1.0.16.8.0.255", "Wh"),
    ("no quadrants", uom(0, 0, quadrants=()), Told.TOTAL, 0, "1.0.1.8.0.255", "Wh"),
    ("phase A", uom(0, 0, segment=5), Told.TOTAL, 0, "1.0.21.8.0.255", "Wh"),
    ("phase C received", uom(0, 0, quadrants=(2, 3), segment=7), Told.TOTAL, 0, "1.0.62.8.0.255", "Wh"),
    ("quadrant 3", uom(0, 0, quadrants=(3,)), Told.TOTAL, 0, "1.0.19.8.0.255", "Wh"),
    ("reactive delivered", uom(1, 0, quadrants=(1, 2)), Told.TOTAL, 0, "1.0.3.8.0.255", "varh"),
    ("reactive received", uom(1, 0, quadrants=(3, 4)), Told.TOTAL, 0, "1.0.4.8.0.255", "varh"),
    ("reactive quadrant 4", uom(1, 0, quadrants=(4,)), Told.TOTAL, 0, "1.0.8.8.0.255", "varh"),
    ("apparent", uom(2, 0), Told.TOTAL, 0, "1.0.9.8.0.255", "VAh"),
    ("reactive Q1 and Q4", uom(1, 0), Told.TOTAL, 0, "1.137.129.8.128.255", "varh"),
    ("Q hours, phase B, tier 1", uom(4, 0, segment=6), Told.TOTAL, 1, "1.137.132.8.225.255", "varh"),
    ("maximum", uom(0, 4), Told.MAXIMUM, 0, "1.0.1.6.0.255", "W"),
    ("minimum", uom(0, 4), Told.MINIMUM, 0, "1.0.1.3.0.255", "W"),
    ("cumulative", uom(0, 4), Told.CUMULATIVE, 3, "1.0.1.2.3.255", "W"),
    ("coincident power factor", uom(24, 4, quadrants=()), Told.COINCIDENT, 0, "1.0.13.130.0.255", ""),
    ("present demand", uom(0, 3), Told.DEMAND, 0, "1.0.1.4.0.255", "W"),
    ("present power", uom(0, 1), Told.PRESENT, 0, "1.0.1.7.0.255", "W"),
    ("voltage A", uom(8, 1, quadrants=(), segment=5), Told.PRESENT, 0, "1.0.32.7.0.255", "V"),
    ("voltage A to B", uom(8, 1, quadrants=(), segment=1), Told.PRESENT, 0, "1.128.136.7.144.255", "V"),
    ("current B", uom(12, 1, quadrants=(), segment=6), Told.PRESENT, 0, "1.0.51.7.0.255", "A"),
    ("frequency", uom(33, 1, quadrants=()), Told.PRESENT, 0, "1.0.14.7.0.255", "Hz"),
    ("volt squared hours", uom(10, 0, quadrants=()), Told.TOTAL, 0, "1.0.89.8.0.255", "V²h"),
    ("interval energy", uom(0, 5), Told.INTERVAL, 0, "1.0.1.29.0.255", "Wh"),
    ("interval of a dial", uom(0, 0), Told.INTERVAL, 0, "1.0.1.29.0.255", "Wh"),
    ("interval average", uom(0, 4), Told.INTERVAL, 0, "1.0.1.27.0.255", "W"),
    ("harmonic", uom(0, 0, harmonic=True), Told.TOTAL, 0, "1.169.128.8.128.255", "Wh"),
    ("not of the standard", uom(0, 0, nfs=True), Told.TOTAL, 0, "1.199.199.8.5.255", ""),
    ("gas", uom(64, 0), Told.TOTAL, 0, "1.199.199.8.5.255", "m³"),
]


@pytest.mark.parametrize(
    ("word", "told", "tier", "code", "unit"), [case[1:] for case in CODES], ids=[case[0] for case in CODES]
)
def test_codes_and_units(word: int, told: Told, tier: int, code: str, unit: str) -> None:
    found = quantity(word)
    assert (obis(found, told, 5, tier), found.symbol) == (code, unit)
    assert found.name


def test_codes_are_unique() -> None:
    words = [
        uom(code, base, quadrants=[q for q in ALL if mask >> q & 1], net=net, segment=segment, harmonic=harmonic)
        for code in (0, 1, 4, 16, 53) for base in (0, 4) for mask in range(0, 32, 2) for net in (False, True)
        for segment in range(8) for harmonic in (False, True)
    ]  # fmt: skip
    seen: dict[str, set[tuple[object, ...]]] = {}
    for found in map(quantity, words[::3]):
        what = (found.code, found.bulk, found.quadrants, found.net, found.segment, found.harmonic)
        seen.setdefault(obis(found, Told.TOTAL if found.bulk else Told.MAXIMUM, 0), set()).add(what)
    several = {code: what for code, what in seen.items() if len(what) > 1}
    assert set(several) <= {f"1.0.{c}.{d}.0.255" for c in (1, 21, 41, 61) for d in (6, 8)}  # no quadrants are all delivered


@pytest.mark.parametrize(
    ("word", "exponent"), [(0, 0), (1, 2), (2, 3), (3, 6), (4, 9), (5, -2), (6, -3), (7, -6)]
)  # the multipliers of table 12
def test_powers_of_ten(word: int, exponent: int) -> None:
    assert quantity(uom(0, 0, multiplier=word)).exponent == exponent


SCALES = [
    (Fraction(1), Scale(1, 0, Fraction(1), decimal=True)),
    (Fraction(18, 10), Scale(18, -1, Fraction(18, 10), decimal=True)),
    (Fraction(12000), Scale(12, 3, Fraction(12000), decimal=True)),
    (Fraction(1, 8), Scale(125, -3, Fraction(1, 8), decimal=True)),
    (Fraction(-3, 5), Scale(-6, -1, Fraction(-3, 5), decimal=True)),
    (Fraction(0), Scale(0, 0, Fraction(0), decimal=True)),
    (Fraction(1, 3), Scale(1, 0, Fraction(1, 3), decimal=False)),
    (Fraction(1, 2**40), Scale(1, 0, Fraction(1, 2**40), decimal=False)),
    (Fraction(10**19 + 1), Scale(1, 0, Fraction(10**19 + 1), decimal=False)),
]


@pytest.mark.parametrize(("factor", "scale"), SCALES)
def test_factors_as_a_number_and_a_power_of_ten(factor: Fraction, scale: Scale) -> None:
    assert scale_of(factor) == scale
    if scale.decimal:
        assert Fraction(scale.times) * Fraction(10) ** scale.scaler == factor


UOM_FLAG, DEMAND_FLAG, DATA_FLAG, CONSTANTS_FLAG, ENGINEERING, APPLY = 1, 2, 4, 8, 16, 32


def test_entries_are_found_by_counting_flags() -> None:
    """Three sources: no unit; delivered; reactive with constants and a demand interval."""
    links = bytes(
        (CONSTANTS_FLAG | ENGINEERING, UOM_FLAG | ENGINEERING, UOM_FLAG | DEMAND_FLAG | CONSTANTS_FLAG | APPLY | DATA_FLAG)
    )
    known = model(
        table0(ni1=4),
        t11=bytes((0x28, 2, 1, 3, 1, 2, 2, 3)),
        t12=number(uom(0, 0), 4, "little") + number(uom(1, 4, multiplier=2, quadrants=(1,)), 4, "little"),
        t13=bytes((5, 3)),
        t14=b"abc",
        t15=b"".join(number(value, 4, "little") + number(0, 4, "little") + b"\x00" + number(40_000, 4, "little")
                     + number(600_000, 4, "little") for value in (10_000, 250)),
        t16=links,
    )  # fmt: skip
    first, second, third = sources(known)
    assert (first.quantity, first.unit, first.name, first.engineering) == (None, "", "source 0", True)
    assert (second.unit, second.factor, second.ratio, second.demand_minutes) == ("Wh", Fraction(1), Fraction(1), None)
    assert (third.unit, third.factor, third.ratio) == ("var", Fraction(25), Fraction(240))
    assert (third.demand_minutes, third.data_control) == (15, b"abc")
    assert source((first,), 9).obis(Told.TOTAL) == "1.199.199.8.9.255"


def test_applied_ratios_are_not_told() -> None:
    constants = number(10_000, 4, "little") + bytes(4) + b"\x01" + number(40_000, 4, "little") + number(600_000, 4, "little")
    tables = source_tables(1, [], [CONSTANTS_FLAG])
    known = model(table0(ni1=4), **{**tables, "t11": bytes((0x20, 0, 0, 0, 0, 1, 2, 1))}, t15=constants)
    assert sources(known)[0].ratio == 1


@pytest.mark.parametrize(
    ("tables", "code"),
    [
        (source_tables(2, [0], [1, 1]), "table-shape"),
        ({"t11": bytes((0, 1, 0, 0, 0, 0, 2, 1)), "t16": b"\x01"}, "table-prerequisite"),
        ({"t11": bytes((0, 0, 0, 0, 0, 0, 2, 1)), "t16": b"\x08", "t15": b""}, "table-shape"),
        ({"t11": bytes((0, 0, 1, 0, 0, 0, 2, 1)), "t16": b"\x02"}, "table-prerequisite"),
    ],
    ids=["too few units", "no units read", "too few constants", "no demand control read"],
)
def test_tables_that_do_not_fit_each_other(tables: dict[str, bytes], code: str) -> None:
    with pytest.raises(DecodeError) as error:
        sources(model(**tables))
    assert error.value.code == code


def test_constants_that_are_no_number() -> None:
    known = model(table0(ni1=1), t11=bytes((0, 0, 0, 0, 0, 1, 2, 1)), t16=b"\x28", t15=b"\xff" * 8)
    with pytest.raises(DecodeError) as error:
        sources(known)
    assert error.value.code == "table-value"


def test_without_table_16_there_are_no_sources() -> None:
    assert sources(model()) == ()
