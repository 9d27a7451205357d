"""Values: frozen for the type checker (mypy reads this file, and an ignored error that is none is one), and compared, hashed
and altered by copy as frozen dataclasses are.
"""

from __future__ import annotations

from dataclasses import field, fields, replace

import pytest

from schemas.values import value_class


@value_class
class Reading:
    name: str
    values: tuple[int, ...] = ()
    secret: str = field(default="", repr=False)


def test_the_type_checker_refuses_an_assignment() -> None:
    reading = Reading("a")
    reading.name = "b"  # type: ignore[misc]  # that mypy says so is the test
    assert reading.name == "b"


def test_values_are_compared_and_hashed_by_their_fields() -> None:
    assert Reading("a", (1, 2)) == Reading("a", (1, 2)) != Reading("a", (1, 3))
    assert len({Reading("a"), Reading("a"), Reading("b")}) == 2


def test_an_altered_copy_leaves_the_original() -> None:
    first = Reading("a", (1,))
    assert replace(first, name="b") == Reading("b", (1,))
    assert first == Reading("a", (1,))


def test_it_has_slots_and_hides_what_is_to_be_hidden() -> None:
    reading = Reading("a", secret="s3cret")
    assert "s3cret" not in repr(reading)
    assert [each.name for each in fields(reading)] == ["name", "values", "secret"]
    with pytest.raises(AttributeError):
        reading.other = 1  # type: ignore[attr-defined]  # a field that is none
