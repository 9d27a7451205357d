"""Two telegrams of a Landis+Gyr E450 in Vienna, of one morning, with the key that its owner published beside them.

Nobody published what they say; but an energy must grow by the power beside it.
"""

from __future__ import annotations

from connectors.protocols.dlms.ciphering import Keys
from connectors.protocols.dlms.decode import decode_stream
from connectors.protocols.dlms.telegram import Telegram
from connectors.templates.loader import load_templates

TELEGRAMS = bytes.fromhex(
    "7EA067CEFF031338BDE6E700DB084C475A6773745DDD4F2000E8C3F44D3B65FCF023F403E19036A1C9F5E6EABDF04C40A4800B1509A22528"
    "81267D0B90E585EEF07F57C90AD75192893725AE5F06BACEE5A422D33F1705A1919765812E06910ABFDB2BEB901270657E"
    "7EA067CEFF031338BDE6E700DB084C475A6773745DDD4F2000E8CACBB3176BFB6D62B4340D8F1FAED60D316317766F277899E0F285282779"
    "D1ACF4B02960DD76D66210A77BDDFB19338CE2CA4F41A083737CEFC2D0134B3A5194C2656CC2647BE83A21ACAF1C17287E"
)
KEYS = Keys(bytes.fromhex("4475D2230289243A4AE7732E2396C572"))
APART_S = 8755


def test_energies_grow_by_the_powers_beside_them() -> None:
    for energy, power in (("1.0.1.8.0.255", "1.0.1.7.0.255"), ("1.0.4.8.0.255", "1.0.4.7.0.255")):
        began, ended, now = *_values(energy), _values(power)[0]
        assert abs((ended - began) * 3600 / APART_S - now) < 0.5


def test_what_stands_still_has_no_power() -> None:
    for energy, power, reading in (("1.0.2.8.0.255", "1.0.2.7.0.255", 0), ("1.0.3.8.0.255", "1.0.3.7.0.255", 244)):
        assert _values(energy) == [reading, reading]
        assert _values(power) == [0, 0]


def test_units_and_times() -> None:
    telegrams = _telegrams()
    assert [value.unit for value in telegrams[0].values] == [None, "Wh", "Wh", "varh", "varh", "W", "W", "var", "var"]
    times = [telegram.meter_time.iso for telegram in telegrams if telegram.meter_time]
    assert times == ["2024-08-22T10:45:55", "2024-08-22T13:11:50"]


def _telegrams() -> list[Telegram]:
    template = load_templates()["wiener-netze"].push
    return [found for found in decode_stream(TELEGRAMS, lambda _: KEYS, template) if isinstance(found, Telegram)]


def _values(obis: str) -> list[int]:
    """Of both telegrams."""
    values = [value.raw for telegram in _telegrams() for value in telegram.values if value.obis == obis]
    return [value for value in values if isinstance(value, int)]
