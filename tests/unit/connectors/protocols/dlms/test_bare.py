from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.protocols.dlms.errors import DlmsError
from connectors.protocols.dlms.framing import Apdu, Limits, PushStream, Refused, bare

TIME = "0C07E60B0C0610360000FFC400"
TITLE = "084B464D6750000009"
EMPTY_FIVE = "0000000000"

WHOLE = [
    pytest.param("0F00000001" "00" "0203" "1201" "02" "0600000003" "0A0141", id="data-notification"),
    pytest.param("0F00000001" + TIME + "0100", id="data-notification with a time"),
    pytest.param("0F40000000" "09" + TIME + "0203060000000A" "0900" "1601", id="data-notification, tagged time (Kaifa)"),
    pytest.param("0F00000001" "00" "13" "02021206" "0C" "000100000002000300000004", id="compact array"),
    pytest.param("C200" "0001" "0000600500FF" "02" "0600000001", id="event-notification"),
    pytest.param("C201" + TIME + "0001" "0000600500FF" "02" "0600000001", id="event-notification with a time"),
    pytest.param("DB" + TITLE + "07" "20000000010203", id="general-glo"),
    pytest.param("DC" + TITLE + "8107" "20000000010203", id="general-ded, length in two octets"),
    pytest.param("DD" "0101" + TITLE + "00" "00" "00" "00" "03" "200000", id="general-ciphering without key-info"),
    pytest.param("DD" + EMPTY_FIVE + "01" "00" "01" "03" "200000", id="general-ciphering, identified key"),
    pytest.param("DD" + EMPTY_FIVE + "01" "01" "00" "02AABB" "03" "200000", id="general-ciphering, wrapped key"),
    pytest.param("DD" + EMPTY_FIVE + "01" "02" "0102" "02AABB" "03" "200000", id="general-ciphering, agreed key"),
    pytest.param("DF" + EMPTY_FIVE + "020F00" "03AABBCC", id="general-signing"),
    pytest.param("E0" "40" "0001" "0000" "03" "DB0801", id="block"),
    pytest.param("CA" "06" "200000000101", id="glo-event-notification"),
]  # fmt: skip


UNTAGGED = [  # the descriptor's first octets could be data: only more of it tells
    pytest.param("0F00000001" "00" "0101" "0202" "0001" "00002A0000FF" "02" "090141", id="untagged descriptor (EGD)"),
    pytest.param("0F00000001" "00" "0101" "0202" "0008" "0000010000FF" "02" "090141", id="untagged descriptor, no data tag"),
]  # fmt: skip


@pytest.mark.parametrize("octets", WHOLE + UNTAGGED)
def test_end_is_found(octets: str) -> None:
    data = bytes.fromhex(octets)
    stream = PushStream()
    for octet in data[:-1]:
        assert stream.feed(bytes((octet,))) == []
    assert stream.feed(data[-1:] + data) == [Apdu(data, (data,), "RAW")] * 2
    assert stream.buffered == 0


@pytest.mark.parametrize("octets", WHOLE)
def test_cut_off_anywhere(octets: str) -> None:
    data = bytes.fromhex(octets)
    for end in range(1, len(data)):
        stream = PushStream()
        (refused,) = stream.feed(data[:end]) + stream.close()
        assert isinstance(refused, Refused)
        assert (refused.code, refused.data, refused.transport) == ("frame-truncated", data[:end], "RAW")


@pytest.mark.parametrize("name", ["raw_egd_example", "raw_salzburg_netz"])
def test_capture(captures_dir: Path, name: str) -> None:
    data = bytes.fromhex((captures_dir / "dlms-push" / f"{name}.hex").read_text())
    assert PushStream().feed(data * 2) == [Apdu(data, (data,), "RAW")] * 2
    stream = PushStream()
    assert [item for octet in data for item in stream.feed(bytes((octet,)))] == [Apdu(data, (data,), "RAW")]


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        pytest.param("0F00000001" "00" "40", "dlms-axdr", id="unknown data tag"),
        pytest.param("0F00000001" "00" + "0201" * 20, "dlms-nesting", id="nested too deep"),
        pytest.param("DB" + TITLE + "8400100000", "frame-oversized", id="length beyond the limit"),
        pytest.param("DB" + TITLE + "8900", "dlms-axdr", id="length of nine octets"),
        pytest.param("DD" + EMPTY_FIVE + "0105", "frame-malformed", id="key-info unknown"),
        pytest.param("55AA", "frame-garbage", id="no push"),
    ],
)  # fmt: skip
def test_refused(octets: str, code: str) -> None:
    stream = PushStream(transport="RAW")
    (refused,) = stream.feed(bytes.fromhex(octets)) + stream.close()
    assert isinstance(refused, Refused)
    assert (refused.code, refused.data) == (code, bytes.fromhex(octets))


def test_goes_on_after_garbage() -> None:
    data = bytes.fromhex("0F00000001" + "00" + "02011105")
    stream = PushStream()
    items = stream.feed(data + b"\xff\xff" + data * 2)
    assert [item.data for item in items] == [data, b"\xff\xff", data, data]


def test_what_looks_like_a_descriptor_is_read_at_the_end() -> None:
    data = bytes.fromhex("0F00000001" + "00" + "0101" + "0202" + "00" + "1605")  # an array of {null, enum}
    stream = PushStream()
    assert stream.feed(data) == []
    assert stream.close() == [Apdu(data, (data,), "RAW")]
    assert stream.feed(data) == []
    assert stream.feed(data[:8])[0].data == data


def test_an_array_that_never_ends_is_refused() -> None:
    stream = PushStream(Limits(max_apdu=500, max_garbage=10_000))
    items = stream.feed(bytes.fromhex("0F00000001" + "00" + "01820400") + bytes(500))
    assert items == []
    (refused,) = stream.close()
    assert isinstance(refused, Refused)
    assert (refused.code, len(refused.data)) == ("frame-oversized", 510)


def test_octet_by_octet_is_not_quadratic(monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[int] = []
    measure = bare.measure

    def counted(data: bytes, at: int, limit: int, *, ended: bool) -> int:
        walks.append(len(data) - at)
        return measure(data, at, limit, ended=ended)

    monkeypatch.setattr(bare, "measure", counted)
    stream = PushStream(Limits(max_apdu=8000))
    data = bytes.fromhex("0F00000001" + "00" + "01821E00") + bytes(0x1E00)
    items = [item for octet in data for item in stream.feed(bytes((octet,)))] + stream.close()
    assert [item.data for item in items] == [data]
    assert sum(walks) < 20 * 8000


@given(st.sampled_from(sorted(bare._SHAPES)), st.binary(max_size=60))
def test_measure_raises_nothing_else(tag: int, octets: bytes) -> None:
    data = bytes((tag,)) + octets
    try:
        end = bare.measure(data, 0, 1000)
    except DlmsError:
        return
    assert 1 < end <= len(data)
    assert bare.measure(data[:end], 0, 1000) == end
