"""Outages and restorations to the outage management system, on `oms.outages`."""
