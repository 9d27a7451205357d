"""Simulated ANSI C12 meters: C12.18 on serial lines (pseudo-terminals) and TCP, C12.22 on TCP and UDP.

    truth, state ─▶ meter_tables: tables as octets ─▶ psem_server ─▶ psem_lines     one client, packets
                                                   └▶ message_server ─▶ message_lines   whoever asks, messages
    running: a meter of the fleet: registration, notifications, last gasp

There is no C12.18 or C12.22 server of somebody else's to build on, as gurux-dlms is for DLMS. So this room uses the
services, links and messages of `connectors.protocols.c12`, which are checked elsewhere: over C12.18 by termineter, somebody
else's client; over C12.22 by Wireshark and by captures of real meters. The tables themselves are packed here by hand from
the standard's layouts, so that what the head-end makes of tables is held against other code than its own.
"""
