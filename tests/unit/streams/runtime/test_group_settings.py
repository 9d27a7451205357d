"""Groups as the settings have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from streams.runtime.group_settings import Group, parse_address
from streams.runtime.settings import Settings


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        pytest.param("udp://239.192.0.7:4059", "239.192.0.7", 4059, id="multicast"),
        pytest.param("udp://10.1.255.255:4059", "10.1.255.255", 4059, id="directed-broadcast"),
        pytest.param("udp://10.1.0.3:1", "10.1.0.3", 1, id="a-concentrator"),
        pytest.param("udp://[ff15::7]:65535", "ff15::7", 65_535, id="v6-multicast"),
        pytest.param("udp://[ff02::7%eth0]:4059", "ff02::7%eth0", 4059, id="v6-of-one-link"),
        pytest.param("udp://[2001:db8::1]:4059", "2001:db8::1", 4059, id="v6"),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    assert (str(parse_address(text)[0]), parse_address(text)[1]) == (host, port)
    assert Group(address=text).address == text


WRONG = {
    "nothing": ("", "udp://ADDRESS:PORT is expected"),
    "no-port": ("udp://239.192.0.7", "is expected"),
    "port-0": ("udp://239.192.0.7:0", "is expected"),
    "no-such-port": ("udp://239.192.0.7:65536", "is expected"),
    "tcp": ("tcp://239.192.0.7:4059", "is expected"),
    "no-scheme": ("239.192.0.7:4059", "is expected"),
    "a-name": ("udp://concentrator.example:4059", "an address, no name"),
    "a-path": ("udp://239.192.0.7:4059/x", "is expected"),
    "a-user": ("udp://me@239.192.0.7:4059", "is expected"),
    "nobody": ("udp://0.0.0.0:4059", "0.0.0.0 is nobody's address"),
    "nobody-v6": ("udp://[::]:4059", ":: is nobody's address"),
    "half-an-address": ("udp://[ff02::7:4059", "is expected"),
    "of-no-link": ("udp://[ff02::7]:4059", "write the interface behind it, such as udp://[ff02::7%eth0]:4059"),
}


@pytest.mark.parametrize(("text", "says"), WRONG.values(), ids=WRONG)
def test_what_is_no_address(text: str, says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Group(address=text)
    assert says in str(caught.value)


OUT_OF_RANGE: list[dict[str, object]] = [
    {"hops": 0}, {"hops": 256}, {"client": -1}, {"station": 65_536}, {"security": "none"}, {"rounds": 0}, {"rounds": 11},
    {"meters": 1}, {"gather_s": -1}, {"gap_s": -1},
]  # fmt: skip


@pytest.mark.parametrize("field", OUT_OF_RANGE, ids=str)
def test_what_is_out_of_range(field: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Group.model_validate({"address": "udp://239.192.0.7:4059"} | field)


def test_the_address_alone_will_do_and_what_holds_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "hes.toml"
    lines = (
        "[firmware.groups]",
        '"cell-1" = "udp://239.192.0.7:4059"',
        '"cell-2" = {address = "udp://10.0.0.9:4059", security = "plain"}',
    )
    file.write_text("\n".join(lines))
    monkeypatch.setenv("HES_SETTINGS", str(file))
    groups = Settings().firmware.groups
    one, two = groups["cell-1"], groups["cell-2"]
    assert (one.client, one.station, one.security, two.security) == (102, 127, "ciphered", "plain")
    monkeypatch.setenv("HES_FIRMWARE__GROUPS", '{"cell-3": "udp://[ff15::7]:4059"}')
    assert set(Settings().firmware.groups) >= {"cell-3"}
    assert Settings.model_fields["firmware"].default.groups == {}
