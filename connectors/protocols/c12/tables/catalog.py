"""All of the standard that is declared."""

from __future__ import annotations

from connectors.protocols.c12.tables import decade0, decade1, decade2, decade4, decade5, decade6, decade7, decade11
from connectors.protocols.c12.tables.declarations import Catalog
from connectors.protocols.c12.tables.event_codes import EVENTS
from connectors.protocols.c12.tables.standard_procedures import PROCEDURES

_DECADES = (decade0, decade1, decade2, decade4, decade5, decade6, decade7, decade11)

STANDARD = Catalog(
    {declaration.number: declaration for decade in _DECADES for declaration in decade.DECADE}, PROCEDURES, EVENTS
)
"""The standard's tables, procedures and events."""
