"""What a template's quirks (`template.QUIRKS`) change in a session, in one place: who drives a meter asks here."""

from __future__ import annotations

from collections.abc import Collection
from datetime import tzinfo

from connectors.protocols.dlms.association import PROPOSED, Conformance
from connectors.protocols.dlms.objects.clock import TimeForm
from connectors.protocols.dlms.objects.clock import form_of as _form_of
from connectors.protocols.dlms.profile_shape import Rules
from connectors.protocols.dlms.template import Template

_LEFT_OUT = {"no-lists": Conformance.MULTIPLE_REFERENCES, "no-selective-access": Conformance.SELECTIVE_ACCESS}


def proposed(quirks: Collection[str], conformance: Conformance = PROPOSED) -> Conformance:
    """What is proposed to a meter: without what it grants and then cannot do."""
    for quirk, service in _LEFT_OUT.items():
        if quirk in quirks:
            conformance &= ~service
    return conformance


def rules_of(template: Template, zone: tzinfo | None) -> Rules:
    """How profiles and logs of such a meter are read."""
    return Rules(zone, template.push.deviation_reversed, "null-repeats" in template.quirks)


def time_form_of(template: Template) -> TimeForm:
    """How such a meter wants a time written."""
    return _form_of(template.quirks, deviation_reversed=template.push.deviation_reversed)


def sends_deviation(template: Template) -> bool:
    """Whether a range is asked for with a deviation: for `client.Span`."""
    return "no-deviation" not in template.quirks


def mbus_binary(template: Template) -> bool:
    """Whether M-Bus identifications are plain numbers: for `mbus_client.read_mbus_devices`."""
    return "mbus-id-binary" in template.quirks
