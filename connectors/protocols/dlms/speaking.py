"""A session as it goes over an association: short names innermost, then protection, then blocks around the whole.

    session ▶ short names ▶ sign, cipher ▶ general block transfer ▶ link

Whoever drives a meter puts every session of an association through `spoken`, its opening and closing included, and need
not know what was agreed.
"""

from __future__ import annotations

from connectors.protocols.dlms.association import Associated, Association, Conformance
from connectors.protocols.dlms.client_apdus import Session, T
from connectors.protocols.dlms.gbt_session import gbt_session
from connectors.protocols.dlms.security import secured
from connectors.protocols.dlms.short_name_session import by_short_names


def spoken(session: Session[T], config: Association, link: Associated | None = None) -> Session[T]:
    """`session` as `config` asks and, once it is open, `link` grants. `link` is None while the association is opened."""
    if link is not None and link.short is not None:
        session = by_short_names(session, link)
    if config.channel is not None:
        session = secured(session, config.channel)
    agreed = link if link is None or link.short is None else link.short
    if agreed is not None and config.gbt_window and Conformance.GENERAL_BLOCK_TRANSFER in agreed.conformance:
        session = gbt_session(session, agreed.max_send_pdu, window=config.gbt_window)
    return session
