"""Meter templates from YAML: inheritance by `extends`, and errors that name the file, the line, the key and the mend.

A mapping of a template is laid over the one it extends, key by key, but for those that it says it `replaces`; anything else
replaces what it extends. Unknown keys, kinds and names are refused, since a misspelt key that is passed over would be a
meter read wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml

from connectors.protocols.dlms.template import Template
from connectors.templates.schema import TemplateError, build, check

T = TypeVar("T")
Check = Callable[[Path, dict[str, Any], Mapping[tuple[str, ...], int]], None]
"""Raises TemplateError where a file by itself is not right; given its keys and the line of each."""
Build = Callable[[str, Path, dict[str, Any]], T]
"""What a file with all that it extends becomes."""

_OWN = Path(__file__).parent / "dlms"
_MAX_CHAIN = 8
_YAML: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Both are safe: no object of ours is made from a tag. The one in C is ten times as fast, where it is built."""


def load_templates(extra_dir: Path | None = None) -> dict[str, Template]:
    """Every template by its name (the file's, without suffix); those in `extra_dir` come on top and may extend ours.

    Raises TemplateError for a file that is not right, OSError for one that cannot be read.
    """
    return dict(_load(extra_dir))


@cache
def _load(extra_dir: Path | None) -> Mapping[str, Template]:
    return load_folders((_OWN, extra_dir), check, build)


def load_folders(folders: tuple[Path | None, ...], check: Check, build: Build[T]) -> dict[str, T]:
    """Every template of some folders by its name, what is in later folders on top. Raises as `load_templates`."""
    files: dict[str, Path] = {}
    for folder in folders:
        if folder is not None and not folder.is_dir():
            raise TemplateError(folder, "this is no folder: give one that holds template files (*.yaml)")
        files |= {path.stem: path for path in sorted(folder.glob("*.yaml"))} if folder is not None else {}
    parsed = {name: _parse(path, check) for name, path in files.items()}
    return {name: build(name, files[name], _merged(name, parsed, files)) for name in parsed}


def _merged(name: str, parsed: Mapping[str, dict[str, Any]], files: Mapping[str, Path]) -> dict[str, Any]:
    """The template with what it extends under it."""
    chain = [name]
    while (parent := parsed[chain[-1]].get("extends")) is not None:
        child = files[chain[-1]]
        if parent not in parsed:
            raise TemplateError(child, f"it extends {parent!r}, which does not exist", nearest=(parent, parsed))
        if parent in chain:
            raise TemplateError(child, f"templates extend each other in a circle: {' → '.join((*chain, parent))}")
        chain.append(parent)
        if len(chain) > _MAX_CHAIN:
            raise TemplateError(files[name], f"more than {_MAX_CHAIN} templates extend each other: {' → '.join(chain)}")
    merged: dict[str, Any] = {}
    for link in reversed(chain):
        for place in parsed[link].get("replaces", ()):
            section, key = place.split(".")
            merged[section] = {name: value for name, value in (merged.get(section) or {}).items() if name != key}
        merged = _overlaid(merged, parsed[link])
    merged.pop("replaces", None)
    return merged


def _overlaid(under: Mapping[Any, Any], over: Mapping[Any, Any]) -> dict[Any, Any]:
    out = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _overlaid(out[key], value) if both else value
    return out


def _parse(path: Path, check: Check) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    try:
        loader = _YAML(text)
        node = loader.get_single_node()
        lines = dict(_lines(path, node, ())) if node is not None else {}
        data = loader.construct_document(node) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "not YAML"
        raise TemplateError(path, f"{problem}: mend the YAML", line=mark.line + 1 if mark else None) from None
    if not isinstance(data, dict):
        raise TemplateError(path, "a template is a mapping of keys such as extends, vendor, push and pull")
    check(path, data, lines)
    return data


def _lines(path: Path, node: yaml.Node, at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """The line of each key; a key given twice is refused here, since YAML lets the later one win in silence."""
    yield at, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise TemplateError(path, f"{key.value!r} is given twice: keep one", line=key.start_mark.line + 1)
            seen.add(key.value)
            yield (*at, key.value), key.start_mark.line + 1
            yield from ((inner, line) for inner, line in _lines(path, value, (*at, key.value)) if inner != (*at, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            yield from _lines(path, value, (*at, str(i)))
