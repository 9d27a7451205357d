"""Fleets of DLMS and ANSI C12.22 meters on real sockets: for the demo, the tests and load.

A fleet is decided by a seed: which meters there are, what they count, when they lose supply. It listens on one port a
meter (IEC 62056-47 wrapper, gurux-dlms as the COSEM server; C12.22 over TCP and UDP), pushes telegrams to a gateway as
their vendors' meters do, and writes what it truly held and sent to a file that only checks read.

gurux-dlms (GPL-2.0) is imported here and never copied, so that the head-end's own codec of DLMS is checked by somebody
else's bytes. There is no such server of C12: its meters (`c12`) put their tables together themselves, and speak with the
messages and links of `connectors.protocols.c12`, which Wireshark, captures of real meters and termineter check instead.
This room imports those and `schemas`, for the shipment file, and nothing else of ours: no gateway, no Kafka.
"""
