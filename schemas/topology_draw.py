"""topology.yaml as a picture: a Mermaid flowchart of services and topics, left to right as records move."""

from __future__ import annotations

from schemas.topology import Service, Topic, Topology

_STYLES = (
    "classDef service fill:#1f6feb,stroke:#1f6feb,color:#ffffff",
    "classDef data fill:#ddf4ff,stroke:#54aeff,color:#0a3069",
    "classDef control fill:#fff8c5,stroke:#d4a72c,color:#633c01",
)


def mermaid(topology: Topology, *, everything: bool = False) -> str:
    """The flowchart: a box a service, a cylinder a topic with the records it may hold.

    Dead letters are dotted, since every service has them. Topics that no service writes or reads are left out, unless
    `everything` is asked for. Ends in a newline.
    """
    topics = [topic for topic in topology.topics.values() if everything or _used(topology, topic)]
    lines = ["flowchart LR"]
    lines += [f'    {_id("s", service.name)}["{_text(service.name)}"]:::service' for service in topology.services.values()]
    lines += [f'    {_id("t", topic.name)}[("{_label(topic)}")]:::{topic.kind}' for topic in topics]
    for service in topology.services.values():
        lines += [f"    {_id('t', name)} --> {_id('s', service.name)}" for name in service.consumes]
        lines += [f"    {_id('s', service.name)} {_arrow(service, name)} {_id('t', name)}" for name in service.produces]
    lines += [f"    {style}" for style in _STYLES]
    return "\n".join(lines) + "\n"


def _used(topology: Topology, topic: Topic) -> bool:
    return bool(topology.writers(topic.name) or topology.readers(topic.name))


def _arrow(service: Service, topic: str) -> str:
    return "-.->" if topic == service.dead_letters else "-->"


def _id(kind: str, name: str) -> str:
    """A node id that Mermaid takes and no two names share: what is no letter or digit becomes its code point."""
    return f"{kind}_" + "".join(char if char.isalnum() else f"_{ord(char):x}_" for char in name)


def _label(topic: Topic) -> str:
    return f"{_text(topic.name)}<br/>{_text(', '.join(topic.values))}"


def _text(text: str) -> str:
    """A text inside a quoted Mermaid label, which knows HTML entities and no escapes."""
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
