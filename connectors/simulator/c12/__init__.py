"""Simulated ANSI C12 meters, on serial lines (pseudo-terminals) and TCP.

There is no C12.18 or C12.22 server of somebody else's to build on, as gurux-dlms is for DLMS. So this room uses the services
and the link of `connectors.protocols.c12`, and what they say is checked by somebody else's client (termineter) instead.
"""
