"""YAML that people write for a service, read so that every problem is collected, with its line, its key and the mend.

What is not known is refused, since a misspelt key that is passed over would be a rule that does not hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_MOST = 1_000_000
_LARGEST_FILE = 262_144
At = tuple[str, ...]
"""Where something stands: keys and indexes from the top."""


class PolicyError(Exception):
    """A policy is not right; every problem is a line of its own: file, line, key, what is wrong, the mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read_policy_text(file: str, setting: str) -> str:
    """The text of a file of rules, which the setting names; `PolicyError` where it cannot be read or is too large."""
    try:
        with Path(file).open("rb") as handle:
            data = handle.read(_LARGEST_FILE + 1)
        if len(data) > _LARGEST_FILE:
            raise PolicyError([f"{file}: is larger than {_LARGEST_FILE} octets; a policy is a page"])
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError([f"{file}: cannot be read: {error}; name a policy file in {setting}"]) from error


class Reader:
    """One reading of one document: the problems so far, and the line of every key."""

    def __init__(self) -> None:
        self.problems: list[tuple[int, str]] = []
        self._lines: dict[At, int] = {}

    def load(self, text: str) -> Any:
        """The document in a text; None where it is none, and why is a problem then."""
        try:
            loader = yaml.SafeLoader(text)
            try:
                node = loader.get_single_node()
                if node is None:
                    return None
                self._note(node, (), 0)
                return loader.construct_document(node)
            finally:
                loader.dispose()
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            what = getattr(error, "problem", None) or str(error)
            self.problems.append((mark.line + 1 if mark else 1, f"not YAML: {what}; mend the indentation or quoting there"))
            return None

    def fail(self, at: At, what: str) -> None:
        """Note a problem: what is wrong, and the mend."""
        line = at
        while line and line not in self._lines:
            line = line[:-1]
        self.problems.append((self._lines.get(line, 1), f"{' > '.join(at) or 'the policy'}: {what}"))

    def _note(self, node: yaml.Node, at: At, depth: int) -> None:
        """Keep the lines; what stands twice, or nests deeper than a policy does, is a problem."""
        self._lines.setdefault(at, node.start_mark.line + 1)
        if depth > 8:
            raise ValueError("nested deeper than a policy is")
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                inner = (*at, str(key.value))
                if str(key.value) in seen:
                    self.problems.append((key.start_mark.line + 1, f"{' > '.join(inner)}: stands twice; keep one of them"))
                seen.add(str(key.value))
                self._lines[inner] = key.start_mark.line + 1
                self._note(value, inner, depth + 1)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._note(value, (*at, str(index)), depth + 1)

    def mapping(self, value: Any, at: At, required: Iterable[str], optional: Iterable[str] = ()) -> Mapping[str, Any]:
        """A mapping that has all that is required, and nothing that is not known."""
        needed = tuple(required)
        known = self.open(value, at, (*needed, *optional))
        if known or isinstance(value, dict):
            for name in needed:
                if name not in known:
                    self.fail(at, f"has no {name}; add it")
        return known

    def open(self, value: Any, at: At, names: tuple[str, ...]) -> Mapping[str, Any]:
        """A mapping with any of these names; what is not among them is a problem, and left out."""
        if not isinstance(value, dict):
            if not at or at in self._lines:
                self.fail(at, f"must be a mapping with {', '.join(names)}")
            return {}
        for name in value:
            if name not in names:
                self.fail((*at, str(name)), f"is not known here; write {self.near(str(name), names)}")
        return {name: item for name, item in value.items() if name in names}

    def one(self, known: Mapping[str, Any], at: At, good: Callable[[Any], bool], wanted: str, default: Any = None) -> Any:
        """A value that is there and good, else the default; its absence is noted elsewhere."""
        value = known.get(at[-1], default)
        if at[-1] in known and not good(value):
            self.fail(at, f"is {value!r}; write {wanted}")
            return default
        return value

    def time(self, known: Mapping[str, Any], at: At) -> int:
        """A length of time in milliseconds; 0 where there is none."""
        text = self.one(
            known, at, lambda value: bool(re.fullmatch(r"[1-9][0-9]{0,5}[smhd]", str(value))), "such as 90s, 10m, 7d"
        )
        return int(text[:-1]) * _UNITS[text[-1]] if text else 0

    def count(self, known: Mapping[str, Any], at: At) -> int:
        """A whole number; 0 where there is none."""

        def good(value: Any) -> bool:
            return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST

        return int(self.one(known, at, good, f"a whole number from 0 to {_MOST}") or 0)

    def clock(self, known: Mapping[str, Any], at: At) -> int:
        """A time of day in minutes after midnight; 0 where there is none."""
        text = self.one(known, at, lambda value: bool(re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", str(value))), '"08:00"')
        return int(text[:2]) * 60 + int(text[3:]) if text else 0

    def near(self, name: str, names: Iterable[str]) -> str:
        """What was probably meant."""
        known = list(names)
        close = get_close_matches(name, known, 1)
        return close[0] if close else f"one of {', '.join(known)}"
