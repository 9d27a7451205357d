"""Who may do what, as the settings pin it: the root keys that make operators, and the policy."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from schemas.codec import Codec
from streams.runtime.authority.controls import Controls
from streams.runtime.authority.operators import Operators, roots_of
from streams.runtime.authority.policy import Policy
from streams.runtime.authority.policy_file import PolicyError, load_policy
from streams.runtime.authority.verify import Around
from streams.runtime.errors import FatalError
from streams.runtime.settings import Commands


@dataclass(frozen=True, slots=True)
class Pinned:
    """What no record can change."""

    policy: Policy
    roots: tuple[bytes, ...]
    """Without one nobody is an operator."""

    def around(self, codec: Codec, environment: str) -> Around:
        """What verdicts depend on, with no operator and no control known yet."""
        operators = Operators(codec, environment, self.roots)
        return Around(codec, environment, self.policy, operators, Controls(codec, environment, operators, self.policy))


def pinned(settings: Commands, service: str, rootless: str) -> Pinned:
    """As the settings have it. `FatalError` where they cannot be used; a warning that says `rootless`, what nobody can do
    then, where they pin no root.
    """
    try:
        found = Pinned(load_policy(settings.policy_file), roots_of(settings.root_key))
    except (ValueError, PolicyError) as error:
        raise FatalError(f"commands.root_key or commands.policy_file is wrong: {error}") from error
    if not found.roots:
        structlog.get_logger(service).warning("no-root-key", reason=f"nobody is an operator, so {rootless}")
    return found
