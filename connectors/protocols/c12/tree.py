"""What a decoder says about octets: fields by name, what they mean and where they stand, as a protocol analyser shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """One field. `value` is for a person; where the field is a secret, `value` and `octets` are asterisks."""

    name: str
    value: str = ""
    octets: bytes = b""
    children: tuple[Node, ...] = ()
    offset: int = 0
    """Where the octets begin in the message, counted from the first octet that the decoder was given."""

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Node]]:
        """This field and all below it, each with its depth, in the order of the message."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)

    def find(self, name: str) -> Node | None:
        """The first field of that name, from here down."""
        return next((node for _, node in self.walk() if node.name == name), None)
