"""What a person wishes of a campaign: whom it is for, and its terms, every one of them written out to be signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from connectors.cli.asking import target_of
from connectors.cli.failure import usage
from schemas.records import FirmwareManifest, Target
from schemas.signatures import digest
from streams.runtime.authority.targets import is_empty
from streams.runtime.authority.terms import BY_NETWORK, TERMS, Terms, TermsError, terms_of


@dataclass(frozen=True, slots=True)
class Wish:
    """What was typed; what is empty was not."""

    meters: Sequence[str] = ()
    groups: Sequence[str] = ()
    segments: Sequence[str] = ()
    transformers: Sequence[str] = ()
    feeders: Sequence[str] = ()
    terms: Mapping[str, str] = field(default_factory=dict)
    settings: Sequence[str] = ()
    """NAME=VALUE each, for terms that have no option of their own."""

    def target(self) -> Target:
        """Whom it is for; `CommandError` where nobody is named."""
        groups = list(self.groups), list(self.segments), list(self.transformers), list(self.feeders)
        found = target_of(list(self.meters), *groups)
        if is_empty(found):
            raise usage("no meter is named", "name whom it is for: --group, --segment, --transformer, --feeder, --meter")
        return found


def parameters_of(wish: Wish, manifest: FirmwareManifest, value: bytes | None) -> dict[str, str]:
    """The request's parameters. Defaults are written out: what is approved must not change with a later release.

    `CommandError` where a term is wrong.
    """
    given = {name: text for name, text in wish.terms.items() if text}
    for setting in wish.settings:
        name, sign, text = setting.partition("=")
        if not sign:
            raise usage(f"--set {setting} says no value", "write --set NAME=VALUE; `hes firmware terms` lists the names")
        given[name.strip()] = text.strip()
    if "waves" in given and not given["waves"].endswith("100%"):
        given["waves"] += ",100%"
    found = {name: term.default for name, term in TERMS.items() if term.default} | given
    found |= {"image": manifest.id, "version": manifest.to_version}
    if "manifest" in TERMS and value is not None:
        found["manifest"] = digest(value).hex()
    checked_terms(found)
    return found


def checked_terms(parameters: Mapping[str, str]) -> Terms:
    """The terms; `CommandError` where one is wrong."""
    try:
        return terms_of(parameters)
    except TermsError as error:
        raise usage(str(error), "`hes firmware terms` lists every term with its default") from error


def told() -> list[dict[str, str]]:
    """Every term, as a row."""
    rows = [{"term": name, "default": term.default, "meaning": term.meaning} for name, term in TERMS.items()]
    more = [{"term": f"{name}.NETWORK", "default": "", "meaning": term.meaning} for name, term in BY_NETWORK.items()]
    return [row for row in rows if row["term"] not in ("image", "version", "manifest")] + more
