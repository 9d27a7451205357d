"""The types of fields of which a plain `int` or `str` would say too little."""

from __future__ import annotations

from typing import Annotated

Millis = Annotated[int, "timestamp-millis"]
"""Milliseconds since the epoch, UTC."""

Scalar = int | float | str | None
"""A meter's own value: an integer, a float, a text (octets as upper-case hex), or absent."""
