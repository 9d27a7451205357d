"""Telegrams of meters as their owners published them, each with what its meter says by its publishers' reading.

Octets and readings are of issues and sample frames of the repository UtilitechAS/amsreader-firmware (the issue stands beside
each); keys are those that the owners published there.
"""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from connectors.protocols.dlms import axdr
from connectors.protocols.dlms.ciphering import Keys
from connectors.protocols.dlms.decode import decode_stream
from connectors.protocols.dlms.framing import Apdu, PushStream
from connectors.protocols.dlms.telegram import Telegram, TelegramError, scaled
from connectors.templates.loader import load_templates

TEMPLATES = load_templates()
ONE_PHASE = bytes.fromhex(
    "E6E7000F00252E9E0C07E80C080713051E00FFC400020A091049534B31303230373835373636363439090B49534B38353736363634390600"
    "00021C06000000000600000000060000011A120920120116060000021C0600000000"
)
QUARTER_HOUR = bytes.fromhex("0F003425260C07E80B1C040F0F0000FFC40002040908373734373835383611000600C328BD06000000FA")
THREE_PHASES = bytes.fromhex(
    "7EA081CF02231385E1E6E7000F00000D7E0C07E707180113281900FF88800212091049534B31303330373839333735363036090831363832"
    "3030303506000005710600000000060000000006000002E212094B12094B1208F812006712007D1202550600000010060000003306000005"
    "2D060000000006000000000600000000DF427E"
)
TARIFFS = bytes.fromhex(
    "7EA06BCF022313CB86E6E7000F000030EB0C07E7071902090F0000FF8880020C091049534B31303330373839333735363036090831363832"
    "30303036160109020001060000CE650600003519060000994C060002B707060001331706000183F0060001A56A060000A8F55DB77E"
)
CELJE = bytes.fromhex(
    "7EA060CF02231327C1E6E7000F000BD5900C07E70B01030C0C1200FFC400020C091049534B31303330373839303134373331090555505F33"
    "6612090A1208FF12092C1201C312020D120058060000095F060000000006000000040600000108BC947E"
)
CROATIA = bytes.fromhex(
    "0F00011F730C07E90C03030F351E00FFC40002210908393230323936393109040F351E00090507E90C03030600687010060048CBF406001F"
    "A41C060057E18F0600571A47060000C7480600170D02060012BDBE060000D86906001488AC06000001F306000000001202EA060000001B06"
    "0000012706000000B006000000000600000000060000000012092012093212093312001D1200AC12006D060000436201011224B801011224"
    "B801011224B80301"
)
BURGENLAND = bytes.fromhex(
    "7EA076CEFF03133C02E6E700DB084C475A6772A9A1115E30002180F6DD28EACE53312148DF2C473548E4B376D8278D79C674757149145C31"
    "0C9B9559049069F4574268F5E6E304A15B901BDADA13425C50ACBF3A91C094CCD6AE5F73688F119119F357AC0037620EE6CB204CF0634EB6"
    "F015A6FFAE6B987E"
)
POLAND = bytes.fromhex(
    "68FAFA6853FF000167DB084B464D10200298028201552100000A2835F50F7152BDD9347C52C912AD97390DAE311C09EF4954C915B0D5CDC4"
    "3DAA41C9D1BA18286858EA99050DEBA141BAFA387ED38F57D79D34870C22A908331E59A9CB51745F057E62D7B705D9C5C3593A72160E97AC"
    "044D4468ED534D725B4CA7A4E9373084608FFA7382DA21A2D83BF196B9BDABF493DE1DB121096C85A3922D850B1368A16980D3CA41299BA8"
    "2137F366A65AD825A188D304312AC2E23CC812E4B13C478617C28703ADACBC194ECF04C6636FE2B1A2EE9BFB1534BD578BC2E6614A6C125C"
    "BBBA2225821EC3EE9C46F2BE70CDB81C2831D786C6DC03E3B13575F061C8E7166872726853FF110167346929DD60BD557E0083E9BA91AE72"
    "A0F89AB8A7E1308D3B3B48A9E5750B54256A3264485B1FC78E4F13A557C483150C82348332ADA41A11A34A90D20FDA6622D07CC1ECDAF22C"
    "74897C1CBB2E02428D2A2892B7895C50E77621A9C1F295A16E596F22225078E44C131EBEB9A00716"
)
KAIFA = bytes.fromhex("7EA027010201105A87E6E7000F40000000090C07E7031603031C2AFF800000020106000008E580BB7E")
SAGEMCOM = bytes.fromhex(
    "6801016853FF000167DB085341475905E6D9FD81F8200000DC9B2AAD03F620CE7AEAA5D10D1FC61E890FE30C6A0CFEBF06FE582F416776C6"
    "4DDF67D2259DE3A11FC5595141F249B5DB591AC196138CF7F108462271EC7214E8D7FA8501BA784D5E5546E7CCB8B0E03E7877E576E22A07"
    "98ED23C77C7CB4EEE287A63F12E9F8C0B4505C8A41826FAC62CFAA176A5BE2D212CB4048978E8FA241F4C1341717959D93A87E26B7BE5DD5"
    "70BEF325E47E78BB5F2405440F6A63628176A8860DC6010AFF927B190BD493D089FC27CB25893482C25B5AD50D645C7E2B4C5BEB538257F1"
    "8195E58C2EA280C7E08AF8DFCBD1C27439AD132FCE2F15FC567906257A011A918CD11766E31016680D0D6853FF110167FB176F76825EA1DE"
    "2116"
)
P1 = (
    "/ELL5\\253833635_A\r\n"
    "\r\n"
    "0-0:1.0.0(241212201348W)\r\n"
    "1-0:1.8.0(00047522.278*kWh)\r\n"
    "1-0:2.8.0(00000000.001*kWh)\r\n"
    "1-0:3.8.0(00000059.039*kvarh)\r\n"
    "1-0:4.8.0(00012570.976*kvarh)\r\n"
    "1-0:1.7.0(0001.231*kW)\r\n"
    "1-0:2.7.0(0000.000*kW)\r\n"
    "1-0:3.7.0(0000.000*kvar)\r\n"
    "1-0:4.7.0(0000.451*kvar)\r\n"
    "1-0:21.7.0(0000.376*kW)\r\n"
    "1-0:41.7.0(0000.824*kW)\r\n"
    "1-0:61.7.0(0000.030*kW)\r\n"
    "1-0:22.7.0(0000.000*kW)\r\n"
    "1-0:42.7.0(0000.000*kW)\r\n"
    "1-0:62.7.0(0000.000*kW)\r\n"
    "1-0:23.7.0(0000.000*kvar)\r\n"
    "1-0:43.7.0(0000.000*kvar)\r\n"
    "1-0:63.7.0(0000.000*kvar)\r\n"
    "1-0:24.7.0(0000.072*kvar)\r\n"
    "1-0:44.7.0(0000.349*kvar)\r\n"
    "1-0:64.7.0(0000.029*kvar)\r\n"
    "1-0:32.7.0(232.8*V)\r\n"
    "1-0:52.7.0(233.5*V)\r\n"
    "1-0:72.7.0(238.5*V)\r\n"
    "1-0:31.7.0(001.8*A)\r\n"
    "1-0:51.7.0(004.0*A)\r\n"
    "1-0:71.7.0(000.1*A)\r\n"
    "!4760\r\n"
)

BURGENLAND_KEYS = Keys(
    bytes.fromhex("34743677397A24432646294A404E6352"), bytes.fromhex("C0C1C2C3C4C5C6C7C8C9CACBCCCDCECF"), any_suite=True
)
POLAND_KEYS = Keys(bytes.fromhex("39436F513777354C4D466F4C5333674A"), any_suite=True)


KEYS = Keys(bytes(range(16)), bytes(range(16, 32)))


def under_general_glo(plain: bytes) -> bytes:
    """A general-glo-ciphering APDU by IEC 62056-5-3, 9.2.3.3 alone."""
    title, head = bytes.fromhex("5341470000000001"), bytes.fromhex("3000000005")
    sealed = AESGCM(KEYS.ek).encrypt(title + head[1:], plain, head[:1] + bytes(range(16, 32)))[:-4]
    return bytes.fromhex("DB08") + title + b"\x82" + (len(head) + len(sealed)).to_bytes(2, "big") + head + sealed


def read(octets: bytes, template: str = "", keys: Keys | None = None) -> list[Telegram | TelegramError]:
    return list(decode_stream(octets, lambda _: keys, TEMPLATES[template].push if template else None))


def one(octets: bytes, template: str = "", keys: Keys | None = None) -> Telegram:
    (telegram,) = read(octets, template, keys)
    assert isinstance(telegram, Telegram), telegram
    return telegram


def said(telegram: Telegram) -> dict[str, object]:
    return {v.obis.removesuffix(".255"): (scaled(v.raw, v.scaler), v.unit) for v in telegram.values}


POSITIONAL = [
    pytest.param(
        THREE_PHASES, "iskra-slovenia", None, "2023-07-24T19:40:25+02:00",
        {"0.0.42.0.0": ("ISK1030789375606", None), "1.0.1.7.0": (1393, "W"), "1.0.32.7.0": (237.9, "V"),
         "1.0.31.7.0": (1.03, "A"), "1.0.71.7.0": (5.97, "A"), "1.0.61.7.0": (1325, "W")},
        id="615: Ljubljana, three phases",
    ),
    pytest.param(
        TARIFFS, "iskra-slovenia", None, "2023-07-25T09:15:00+02:00",
        {"1.0.1.8.0": (52837, "Wh"), "1.0.1.8.1": (13593, "Wh"), "1.0.1.8.2": (39244, "Wh"), "1.0.4.8.0": (43253, "varh")},
        id="615: Ljubljana, tariffs",
    ),
    pytest.param(
        ONE_PHASE, "iskra-slovenia", None, "2024-12-08T19:05:30+01:00",
        {"0.0.96.1.0": ("ISK85766649", None), "1.0.1.7.0": (540, "W"), "1.0.32.7.0": (233.6, "V"),
         "1.0.31.7.0": (2.78, "A")},
        id="869: behind LLC octets",
    ),
    pytest.param(
        QUARTER_HOUR, "iskra-slovenia", None, "2024-11-28T15:15:00+01:00",
        {"0.0.96.1.0": ("77478586", None), "1.0.1.8.0": (12789949, "Wh"), "1.0.2.8.0": (250, "Wh")},
        id="869: every quarter of an hour",
    ),
    pytest.param(
        CELJE, "iskra-celje", None, "2023-11-01T12:12:18+01:00",
        {"1.0.1.7.0": (2399, "W"), "1.0.32.7.0": (231.4, "V"), "1.0.52.7.0": (230.3, "V"), "1.0.31.7.0": (4.51, "A")},
        id="615: Celje",
    ),
    pytest.param(
        CROATIA, "iskra-croatia", None, "2025-12-03T15:53:30+01:00",
        {"0.0.96.1.0": ("92029691", None), "1.0.1.8.0": (6844432, "Wh"), "1.0.1.7.0": (499, "W"), "1.0.52.7.0": (235.4, "V"),
         "1.0.51.7.0": (1.72, "A")},
        id="1072: IE.5",
    ),
    pytest.param(
        BURGENLAND, "netz-burgenland", BURGENLAND_KEYS, "2023-03-28T19:11:20",
        {"1.0.32.7.0": (236, "V"), "1.0.71.7.0": (0.26, "A"), "1.0.1.7.0": (29, "W"), "1.0.1.8.0": (31358606, "Wh"),
         "1.0.2.8.0": (7619, "Wh"), "0.0.96.1.0": ("30137181", None)},
        id="501: Burgenland",
    ),
    pytest.param(
        POLAND, "", POLAND_KEYS, "2021-09-27T20:56:00+02:00",
        {"0.0.96.1.0": ("1KFM0200169986", None), "1.0.32.7.0": (227.1, "V"), "1.0.31.7.0": (12.41, "A"),
         "1.0.1.7.0": (2867, "W"), "1.0.4.8.0": (38584, "varh")},
        id="905: security suite 1 with keys of 16 octets",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "template", "keys", "time", "values"), POSITIONAL)
def test_values(octets: bytes, template: str, keys: Keys | None, time: str, values: dict[str, object]) -> None:
    telegram = one(octets, template, keys)
    assert telegram.meter_time is not None
    assert telegram.meter_time.iso == time
    assert {name: value for name, value in said(telegram).items() if name in values} == values


def test_sums_over_tariffs_and_phases_bear_the_positions_out() -> None:
    tariffs, phases, both = (
        said(one(octets, template))
        for octets, template in ((TARIFFS, "iskra-slovenia"), (THREE_PHASES, "iskra-slovenia"), (CROATIA, "iskra-croatia"))
    )

    def total(of: dict[str, object], *names: str) -> int:
        return sum(of[name][0] for name in names)  # type: ignore[index]  # pairs, as `said` makes them

    for energies in (tariffs, both):
        for direction in (1, 2):
            name = f"1.0.{direction}.8."
            assert total(energies, f"{name}1", f"{name}2") == total(energies, f"{name}0")
    for powers in (phases, both):
        assert abs(total(powers, "1.0.21.7.0", "1.0.41.7.0", "1.0.61.7.0") - total(powers, "1.0.1.7.0")) <= 1


def test_what_no_layout_fits_is_shown_without_names() -> None:
    (error,) = read(BURGENLAND, "", BURGENLAND_KEYS)
    assert isinstance(error, TelegramError)
    assert error.code == "dlms-layout-unknown"
    assert error.unnamed == (236, 237, 236, 0, 4, 26, 29, 0, 31358606, 7619, 400, 53, 295, "30137181")
    assert error.to_json()["unnamed"] == list(error.unnamed)


def test_places_that_a_template_leaves_without_a_name_are_kept() -> None:
    assert one(BURGENLAND, "netz-burgenland", BURGENLAND_KEYS).unnamed == (400, 53, 295)


def test_mbus_frames_longer_than_their_length_can_say() -> None:  # issue 155: 257 octets, L is 01
    (apdu,) = PushStream().feed(SAGEMCOM)
    assert isinstance(apdu, Apdu)
    assert [len(frame) for frame in apdu.frames] == [263, 19]
    (error,) = read(SAGEMCOM)
    assert isinstance(error, TelegramError)
    assert (error.code, error.system_title) == ("key-missing", "5341475905E6D9FD")
    changed = SAGEMCOM[:100] + bytes((SAGEMCOM[100] ^ 1,)) + SAGEMCOM[101:]
    codes = [error.code for error in read(changed) if isinstance(error, TelegramError)]
    assert codes == ["frame-checksum", "frame-segmentation"]


CUT = [
    pytest.param(KAIFA, id="whole"),
    pytest.param(KAIFA[:-1], id="without the last flag"),
    pytest.param(KAIFA[1:], id="without the first flag"),
    pytest.param(KAIFA[1:-1], id="without flags"),
    pytest.param(KAIFA[9:-3], id="from the LLC octets on"),
    pytest.param(KAIFA[12:-3], id="from the APDU on"),
]


@pytest.mark.parametrize("octets", CUT)
def test_however_much_of_the_frame_was_taken_off(octets: bytes) -> None:  # issue 493
    assert said(one(octets)) == said(one(KAIFA))
    assert list(said(one(octets))) == ["1.0.1.7.0"]


def test_bodies_alone() -> None:  # as frames/slovenia-iskra.raw shows them
    bodies = b"".join(one(octets, "iskra-slovenia").plain[18:] for octets in (THREE_PHASES, TARIFFS))
    first, second = read(bodies, "iskra-slovenia")
    assert isinstance(first, Telegram)
    assert isinstance(second, Telegram)
    assert (first.apdu, first.meter_time, said(first)) == ("data", None, said(one(THREE_PHASES, "iskra-slovenia")))
    assert said(second) == said(one(TARIFFS, "iskra-slovenia"))
    assert [error.code for error in read(bodies) if isinstance(error, TelegramError)] == ["dlms-layout-unknown"] * 2


def test_body_that_begins_with_its_push_setup_and_who_pushes() -> None:  # as issue 787 has it
    setup, time = bytes.fromhex("0006190900FF"), bytes.fromhex("150B1100")
    telegram = one(b"\x0f\0\0\0\1\0" + axdr.encode(axdr.Structure((setup, b"1121378381199", time, 14370048))))
    assert (telegram.source, said(telegram)) == ("40/0.6.25.9.0.255/1", {"0.0.96.1.0": ("1121378381199", None)})
    assert telegram.unnamed == ("150B1100", 14370048)


P1_VALUES = {
    "0.0.1.0.0": ("2024-12-12T20:13:48", None),
    "1.0.1.8.0": (47522278, "Wh"),
    "1.0.1.7.0": (1231, "W"),
    "1.0.32.7.0": (232.8, "V"),
    "1.0.31.7.0": (1.8, "A"),
}


@pytest.mark.parametrize("sealed", [False, True], ids=["in clear", "under general-glo, as in Luxembourg"])
def test_text_of_a_p1_port(sealed: bool) -> None:  # frames/dsmr.raw
    octets = P1.encode()
    telegrams = read(under_general_glo(octets) if sealed else octets * 2, keys=KEYS)
    assert len(telegrams) == (1 if sealed else 2)
    for telegram in telegrams:
        assert isinstance(telegram, Telegram)
        assert (telegram.apdu, telegram.authenticated, telegram.list_id) == ("p1", sealed, "ELL5\\253833635_A")
        assert telegram.meter_time is not None
        assert telegram.meter_time.status == 0  # winter
        assert {name: value for name, value in said(telegram).items() if name in P1_VALUES} == P1_VALUES


BROKEN = [
    pytest.param(P1.replace("(0001.231*kW)", "(0007.231*kW)").encode(), "frame-checksum", id="a digit changed"),
    pytest.param(P1[:200].encode(), "frame-truncated", id="cut off"),
    pytest.param(b"/ELL5\\25\r\n\r\n!\r\n", "dlms-layout-unknown", id="nothing in it"),
    pytest.param(bytes.fromhex("2F45474D354733350D0A0D0A0082023030000000003010"), "frame-malformed", id="ciphered"),
]


@pytest.mark.parametrize(("octets", "code"), BROKEN)
def test_p1_that_is_not_whole(octets: bytes, code: str) -> None:
    assert [error.code for error in read(octets) if isinstance(error, TelegramError)] == [code]


P1_LINES = [
    pytest.param("0-0:96.1.1(4B384547303034303436333935353037)", "0.0.96.1.1", "K8EG004046395507", None, id="identifier"),
    pytest.param("0-1:24.2.1(101209112500W)(12785.123*m3)", "0.1.24.2.1", 12785.123, "m³", id="gas, and when"),
    pytest.param("1-0:1.8.1(009699947*Wh)", "1.0.1.8.1", 9699947, "Wh", id="Wh, Graz (issue 264)"),
    pytest.param("0-0:96.14.0(0002)", "0.0.96.14.0", "0002", None, id="tariff"),
    pytest.param("1-0:99.97.0(1)(0-0:96.7.19)(000101000006W)(2147*s)", "1.0.99.97.0",
                 "(1)(0-0:96.7.19)(000101000006W)(2147*s)", None, id="log"),
    pytest.param("1-0:1.7.0(-0001.5*kW)", "1.0.1.7.0", -1500, "W", id="negative"),
    pytest.param("0-0:96.13.0()", "0.0.96.13.0", "", None, id="empty"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "name", "value", "unit"), P1_LINES)
def test_p1_lines(line: str, name: str, value: object, unit: str | None) -> None:
    assert said(one(f"/ISK5\\2M\r\n\r\n{line}\r\n!\r\n".encode())) == {name: (value, unit)}


AARE = "6129A109060760857405080101A203020100A305A103020100BE10040E0800065F1F040000501F01F40007"
REFUSED = "7EA026210201304F22E6E7006117A109060760857405080101A203020101A305A10302010DAE4F7E"
AGREED = "priority, block-transfer-with-get, get, set, selective-access, event-notification, action"
ACCEPTED = ("context: logical names", "result: accepted", f"conformance: {AGREED}", "max-pdu: 500")
SESSION = [
    pytest.param(AARE, "aare", ACCEPTED, id="AARE (pwitab/dlms-cosem)"),
    pytest.param(
        REFUSED, "aare", ("context: logical names", "result: rejected-permanent", "diagnostic: authentication-failure"),
        id="AARE of a ZMX320 (Gurux/gurux.dlms.java, pull request 22)",
    ),
    pytest.param("C4018100060000004E", "get-response", (78,), id="get-response"),
    pytest.param("C401810104", "get-response", ("data-access-result 4 (object-undefined)",), id="get-response, refused"),
    pytest.param("C501C103", "set-response", ("data-access-result 3 (read-write-denied)",), id="set-response, refused"),
    pytest.param("C701C100", "action-response", ("success",), id="action-response"),
    pytest.param(
        "0C0200060000004E0104", "read-response", (78, "data-access-result 4 (object-undefined)"), id="read-response"
    ),
    pytest.param("6303800100", "rlre", (), id="RLRE"),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "name", "unnamed"), SESSION)
def test_apdu_of_a_session(octets: str, name: str, unnamed: tuple[object, ...]) -> None:
    telegram = one(bytes.fromhex(octets))
    assert (telegram.apdu, telegram.layout, telegram.unnamed) == (name, "session", unnamed)


def wrapped(*apdus: str) -> bytes:
    octets = (bytes.fromhex(apdu) for apdu in apdus)
    return b"".join(b"\0\1\0\1\0\x10" + len(apdu).to_bytes(2, "big") + apdu for apdu in octets)


def test_answer_has_the_name_that_was_asked_for() -> None:
    request, response = read(wrapped("C001C100030100010800FF0200", "C401C10006000000FF"))
    assert isinstance(request, Telegram)
    assert isinstance(response, Telegram)
    assert (request.apdu, request.source) == ("get-request", "3/1.0.1.8.0.255/2")
    assert said(response) == {"1.0.1.8.0": (255, None)}


def test_answer_in_blocks() -> None:
    asked, first, following, last = read(
        wrapped(
            "C001C100030100010800FF0200", "C402C100000000010003060000", "C002C100000001", "C402C1010000000200020" "0FF"
        )
    )  # fmt: skip
    assert [t.apdu for t in (asked, first, following, last) if isinstance(t, Telegram)] == [
        "get-request", "get-response", "get-request", "get-response",
    ]  # fmt: skip
    assert isinstance(last, Telegram)
    assert said(last) == {"1.0.1.8.0": (255, None)}
    (error,) = read(wrapped("C402C10100000002000200FF"))
    assert isinstance(error, TelegramError)
    assert "block 2 of a get-response where block 1 is due" in error.detail


SESSION_BROKEN = [
    pytest.param("C401C1", "dlms-truncated", id="cut short"),
    pytest.param("C401C1000600000001FF", "dlms-axdr", id="octets after it"),
    pytest.param("C401C102", "dlms-axdr", id="no result"),
    pytest.param("C409C100", "dlms-axdr", id="unknown choice"),
    pytest.param("6129A1", "dlms-acse", id="AARE cut short"),
    pytest.param("C102C100030100010800FF0200000000000104000000FF", "dlms-axdr", id="set-request in blocks"),
    pytest.param("C101C100030100010800FF020006000000FF00", "dlms-axdr", id="octets after a set-request"),
]


@pytest.mark.parametrize(("apdu", "code"), SESSION_BROKEN)
def test_apdu_of_a_session_that_is_not_read(apdu: str, code: str) -> None:
    (error,) = read(wrapped(apdu))
    assert isinstance(error, TelegramError)
    assert error.code == code
