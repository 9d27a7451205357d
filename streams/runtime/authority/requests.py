"""What is wrong with a request before anybody asks who signed it: sizes, times, arguments."""

from __future__ import annotations

import re
from collections.abc import Callable

from schemas.records import CommandRequest, Operation
from streams.runtime.authority.targets import is_empty
from streams.runtime.authority.terms import fault_in_terms

_LONGEST_NAME, _LONGEST_TEXT = 200, 1_000
_MOST_OBJECTS, _MOST_PARAMETERS, _MOST_METERS = 200, 50, 20_000
_KEY_LIKE = re.compile(r"(?i)(?:[0-9a-f]{2}[ :-]?){16,}")


def fault_in(request: CommandRequest) -> str:
    """The first thing that is wrong with a request, as a sentence; empty where nothing is."""
    for wrong, sentence in _RULES:
        if wrong(request):
            return sentence
    return fault_in_terms(request.parameters) if request.operation is Operation.FIRMWARE_TRANSFER else ""


def _too_long(request: CommandRequest) -> bool:
    names = (request.id, request.requested_by, request.environment, *request.objects, *request.parameters)
    texts = (request.reason, *request.parameters.values())
    return any(len(name) > _LONGEST_NAME for name in names) or any(len(text) > _LONGEST_TEXT for text in texts)


def _too_many(request: CommandRequest) -> bool:
    target = request.target
    places = (target.groups, target.segments, target.transformers, target.feeders)
    return (
        len(target.meters) > _MOST_METERS
        or len(request.objects) > _MOST_OBJECTS
        or len(request.parameters) > _MOST_PARAMETERS
        or any(len(names) > _MOST_OBJECTS for names in places)
    )


def _holds_a_key(request: CommandRequest) -> bool:
    return request.operation is Operation.ROTATE_KEY and any(map(_KEY_LIKE.search, request.parameters.values()))


def _is_backwards(request: CommandRequest) -> bool:
    return (request.from_time is not None and request.to_time is not None and request.from_time >= request.to_time) or (
        request.not_before is not None and request.expires is not None and request.not_before >= request.expires
    )


def _has_range(request: CommandRequest) -> bool:
    return request.from_time is not None or request.to_time is not None


_NEEDS_OBJECTS = (Operation.SET_PARAMETER,)
_RULES: tuple[tuple[Callable[[CommandRequest], bool], str], ...] = (
    (lambda request: not request.id, "the request has no id; give it one that no other has"),
    (lambda request: not request.requested_by, "the request does not say who asks; fill in requested_by"),
    (
        _too_long,
        f"a name of the request is longer than {_LONGEST_NAME} characters, or a text than {_LONGEST_TEXT}; shorten it",
    ),
    (
        _too_many,
        f"the request lists too much: at most {_MOST_METERS} meters, {_MOST_OBJECTS} objects, {_MOST_PARAMETERS} parameters",
    ),
    (
        lambda request: is_empty(request.target),
        "the request names no meter, group, segment, transformer or feeder; name one",
    ),
    (_is_backwards, "the request's times are the wrong way round; the first must be before the second"),
    (
        lambda request: request.operation in _NEEDS_OBJECTS and not request.objects,
        "the request names no object to set; name it as class/OBIS/attribute",
    ),
    (
        lambda request: request.operation is Operation.FIRMWARE_TRANSFER and bool(request.objects or _has_range(request)),
        "a firmware campaign names no objects and no range of time; its parameters say everything: remove them",
    ),
    (_holds_a_key, "the request carries what looks like a key; a rotation names a key by its reference in the key store"),
)
