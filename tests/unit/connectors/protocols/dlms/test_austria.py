"""Telegrams of customer ports in Austria, with the keys that their owners published beside them.

Nobody published what they say; but an energy must grow by the power beside it, and what runs one way does not run the other.
"""

from __future__ import annotations

import pytest

from connectors.protocols.dlms.ciphering import Keys
from connectors.protocols.dlms.decode import decode_stream
from connectors.protocols.dlms.telegram import Telegram
from connectors.templates.loader import load_templates

VIENNA = bytes.fromhex(
    "7EA067CEFF031338BDE6E700DB084C475A6773745DDD4F2000E8C3F44D3B65FCF023F403E19036A1C9F5E6EABDF04C40A4800B1509A22528"
    "81267D0B90E585EEF07F57C90AD75192893725AE5F06BACEE5A422D33F1705A1919765812E06910ABFDB2BEB901270657E"
    "7EA067CEFF031338BDE6E700DB084C475A6773745DDD4F2000E8CACBB3176BFB6D62B4340D8F1FAED60D316317766F277899E0F285282779"
    "D1ACF4B02960DD76D66210A77BDDFB19338CE2CA4F41A083737CEFC2D0134B3A5194C2656CC2647BE83A21ACAF1C17287E"
)
"""A Landis+Gyr E450 twice, 8,755 s apart."""
WELS = bytes.fromhex(
    "7EA070CF0002002313E0C7E6E700DB08534D53677002FD6256200000BE34111B482F835CF05AACA84AE6BEDD7EE0F17132CEC104495BD7E9"
    "C7F258775072AB713296B1E4CC9BE98468E24D194237365949209A5D6CA42584EB9BB7F5F7E50E5304886F3DA7A9342D157553B2E48A175D"
    "907E"
    "7EA070CF0002002313E0C7E6E700DB08534D53677002FD6256200000C06514BA5DA79232B4036C892317BA7AAF692564DC5DDE0AC93A0997"
    "E52F44A5A1FC0505E81AE07CEBFB2845FB73D2D2B8608CE8DC9E6761AC970D3658CE754AA82421E1F05A7BE06D5CDE45995D3E7A596D896D"
    "317E"
)
"""A Siemens IM350 twice, 561 s apart."""
IM350 = bytes.fromhex(
    "7EA079CF0002002313D986E6E700DB08534D53677004C4465F200001A92916FC1EF62AB5F476F8A59772745CC99365500ACF5EBEEA82F955"
    "81762C2D18804A1E7F7700FB10752F04D9344779C6A332C973EAF3CF375095D1821E87C68909EE47759AD925976C42E4D92FF9727E4213FD"
    "EE5F1ABE45D9D97F5E5E7E"
)
AM550 = bytes.fromhex(
    "7EA077CF022313BB45E6E700DB0849534B69745CF6C95F200000046BB45F8F43980519E16E36BC0C7198EB0E9CF1E0DF6A227D63C3F24852"
    "486F4A0CE8AA187991BF1C44544F62BBBB75BEEB4CDB549D7CF525CD95E6D82D2BE1C7F2ED84505402317F84AEB2A285508EC1B072553C39"
    "CD928F1F492941F67E"
)
KEYS = {
    VIENNA: "4475D2230289243A4AE7732E2396C572",
    WELS: "5A9AFEB2A17E6CF0CBAF98C8300ED9D7",
    IM350: "612888F59306A7855AC5C08CB3A96B39",
    AM550: "62F9445B069BA866068B8036F2612030",
}
NAMES = ["1.0.1.8.0", "1.0.2.8.0", "1.0.3.8.0", "1.0.4.8.0", "1.0.1.7.0", "1.0.2.7.0"]
UNITS = ["Wh", "Wh", "varh", "varh", "W", "W"]


def test_energies_grow_by_the_powers_beside_them() -> None:
    first, second = (_values(telegram) for telegram in _telegrams(VIENNA, "wiener-netze"))
    for energy, power in (("1.0.1.8.0", "1.0.1.7.0"), ("1.0.4.8.0", "1.0.4.7.0")):
        assert abs((second[energy] - first[energy]) * 3600 / 8755 - first[power]) < 0.5
    for energy, power, reading in (("1.0.2.8.0", "1.0.2.7.0", 0), ("1.0.3.8.0", "1.0.3.7.0", 244)):
        assert (first[energy], second[energy], first[power], second[power]) == (reading, reading, 0, 0)


def test_units_and_times() -> None:
    telegrams = _telegrams(VIENNA, "wiener-netze")
    assert [value.unit for value in telegrams[0].values] == [None, *UNITS, "var", "var"]
    times = [telegram.meter_time.iso for telegram in telegrams if telegram.meter_time]
    assert times == ["2024-08-22T10:45:55", "2024-08-22T13:11:50"]


@pytest.mark.parametrize(
    ("octets", "template", "number", "readings"),
    [
        pytest.param(IM350, "austria-cii", "2221202033801", [2946830, 0, 887, 2116972, 73, 0], id="IM350"),
        pytest.param(AM550, "austria-cii", "1121273201353", [9534290, 2896624, 726595, 2561341, 738, 0], id="AM550"),
        pytest.param(WELS, "wels-strom", "18037098", [3531997, 0, 392120, 282666, 146, 0], id="Wels"),
    ],
)
def test_values_after_a_push_setup_by_their_places(octets: bytes, template: str, number: str, readings: list[int]) -> None:
    telegram = _telegrams(octets, template)[0]
    (serial, *values) = [value for value in telegram.values if value.obis != "0.6.25.9.0.255"]
    assert (serial.obis, serial.raw) == ("0.0.96.1.0.255", number)
    assert [value.obis.removesuffix(".255") for value in values] == NAMES
    assert [value.unit for value in values] == UNITS
    assert [value.raw for value in values] == readings


def test_in_wels_nine_minutes_take_what_their_powers_say() -> None:
    first, second = (_values(telegram) for telegram in _telegrams(WELS, "wels-strom"))
    assert 146 <= (second["1.0.1.8.0"] - first["1.0.1.8.0"]) * 3600 / 561 <= 2 * 190
    assert first["1.0.2.8.0"] == second["1.0.2.8.0"] == first["1.0.2.7.0"] == 0


def _telegrams(octets: bytes, template: str) -> list[Telegram]:
    keys, push = Keys(bytes.fromhex(KEYS[octets])), load_templates()[template].push
    return [found for found in decode_stream(octets, lambda _: keys, push) if isinstance(found, Telegram)]


def _values(telegram: Telegram) -> dict[str, int]:
    return {value.obis.removesuffix(".255"): value.raw for value in telegram.values if isinstance(value.raw, int)}
