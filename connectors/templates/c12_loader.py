"""Templates of ANSI C12 meters, in the folder `c12` beside those of DLMS: the same inheritance, the same errors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from connectors.templates.c12_schema import build, check
from connectors.templates.c12_template import C12Template
from connectors.templates.loader import load_folders

_FOLDER = "c12"
_OWN = Path(__file__).parent / _FOLDER


def load_c12_templates(extra_dir: Path | None = None) -> dict[str, C12Template]:
    """Every C12 template by its name; those in the folder `c12` of `extra_dir` come on top and may extend ours.

    Raises TemplateError for a file that is not right, OSError for one that cannot be read.
    """
    return dict(_load(extra_dir))


@cache
def _load(extra_dir: Path | None) -> Mapping[str, C12Template]:
    more = None if extra_dir is None else extra_dir / _FOLDER
    return load_folders((_OWN, more if more is not None and more.is_dir() else None), check, build)
