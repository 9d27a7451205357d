from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors.cli.failure import USAGE, CommandError
from connectors.cli.keys import lookup

EK, AK = "000102030405060708090A0B0C0D0E0F", "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"
TITLE, OTHER = "4D4D4D0000BC614E", "4C475A677370B177"
ENTRY = {"ek": EK, "ak": AK}


def found(ek: str, ak: str, file: Path | None, title: str = TITLE) -> tuple[str, str | None] | None:
    keys = lookup(ek, ak, file)(bytes.fromhex(title))
    return None if keys is None else (keys.ek.hex().upper(), keys.ak.hex().upper() if keys.ak else None)


FILES = {
    "object by title": json.dumps({TITLE: ENTRY}),
    "object by title, lower case": json.dumps({TITLE.lower(): {"ek": EK.lower(), "ak": AK.lower()}}),
    "title with colons": json.dumps({"4D:4D:4D:00:00:BC:61:4E": ENTRY}),
    "single object": json.dumps({"system_title": TITLE, **ENTRY}),
    "lines": "\n".join(json.dumps({"system_title": title, **ENTRY}) for title in (OTHER, TITLE)),
    "lines, blank ones between": "\n\n" + json.dumps({"system_title": TITLE, **ENTRY}) + "\r\n\r\n",
    "indented": json.dumps({TITLE: ENTRY, OTHER: {"ek": "FF" * 16}}, indent=1),
    "BOM": "\ufeff" + json.dumps({TITLE: ENTRY}),
    "entries without a key are passed over": json.dumps({OTHER: {"password": "x"}, TITLE: ENTRY}),
    "whatever else an entry has": json.dumps({TITLE: {**ENTRY, "password": "x"}}),
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_file_of_keys(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text, encoding="utf-8")
    assert found("", "", path) == (EK, AK)
    assert found("", "", path, "0000000000000000") is None


def test_options_hold_for_every_meter_that_the_file_does_not_name(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({TITLE: {"ek": "FF" * 16}}))
    assert found(EK, AK, path) == ("FF" * 16, None)
    assert found(EK, AK, path, OTHER) == (EK, AK)
    assert found(EK, "", None, OTHER) == (EK, None)
    assert found("", "", None) is None


WRONG_OPTIONS = {
    "ak alone": ("", AK, "--ak without --ek"),
    "ek is no hex": ("XX" + EK[2:], "", "position 0"),
    "ak is no hex": (EK, AK[:-1] + "X", "--ek/--ak"),
    "ek is short": (EK[:-2], "", "--ek/--ak"),
    "ek is odd": (EK[:-1], "", "--ek/--ak"),
}


@pytest.mark.parametrize(("ek", "ak", "words"), WRONG_OPTIONS.values(), ids=WRONG_OPTIONS)
def test_wrong_options(ek: str, ak: str, words: str) -> None:
    with pytest.raises(CommandError) as caught:
        lookup(ek, ak, None)
    assert words in str(caught.value)
    assert caught.value.exit_code == USAGE
    nothing_secret(caught.value)


WRONG_FILES = {
    "no JSON": (f"ek={EK}", "line 1 is no JSON"),
    "second line is no JSON": (json.dumps({"system_title": TITLE, **ENTRY}) + f"\n{EK}x", "line 2 is no JSON"),
    "a list": (json.dumps([EK]), "does not name keys by system title"),
    "a text": (json.dumps(EK), "does not name keys by system title"),
    "entry is the key itself": (json.dumps({TITLE: EK}), "does not name keys by system title"),
    "line without a title": (json.dumps(ENTRY), "does not name keys by system title"),
    "title is a number": (json.dumps({"system_title": 7, **ENTRY}), "does not name keys by system title"),
    "title and key exchanged": (json.dumps({EK: {"ek": TITLE}}), "entry 1: the system title is not 16 hex digits"),
    "title is short": (json.dumps({TITLE: ENTRY, "4D4D": ENTRY}), "entry 2: the system title is not 16 hex digits"),
    "key is no hex": (json.dumps({TITLE: {"ek": EK[:-1] + "X"}}), f"system title {TITLE}"),
    "key is short": (json.dumps({TITLE: {"ek": EK[:-2]}}), f"system title {TITLE}"),
    "key is a number": (json.dumps({TITLE: {"ek": 12345678901234567890}}), f"system title {TITLE}"),
    "ak is a list": (json.dumps({TITLE: {"ek": EK, "ak": [AK]}}), f"system title {TITLE}"),
    "nested without end": ("[" * 100_000, "nested too deep"),
}


@pytest.mark.parametrize(("text", "words"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_wrong_file(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(CommandError) as caught:
        lookup("", "", path)
    assert words in str(caught.value)
    assert caught.value.exit_code == USAGE
    nothing_secret(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name, words in (("absent", "No such file"), ("binary", "no text in UTF-8")):
        with pytest.raises(CommandError, match=words):
            lookup("", "", tmp_path / name)


def nothing_secret(error: CommandError) -> None:
    said = (str(error) + error.mend + repr(error)).upper()
    for key in (EK, AK):
        assert not any(key[at : at + 8] in said for at in range(0, 24, 2))
    assert error.__cause__ is None
    assert EK not in repr(lookup(EK, AK, None)(bytes(8)))
