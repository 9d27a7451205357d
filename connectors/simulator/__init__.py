"""Fleets of DLMS meters on real sockets: for the demo, the tests and load.

A fleet is decided by a seed: which meters there are, what they count, when they lose supply. It listens on one TCP port a
meter (IEC 62056-47 wrapper, gurux-dlms as the COSEM server), pushes telegrams to a gateway as their vendors' meters do,
and writes what it truly held and sent to a file that only checks read.

gurux-dlms (GPL-2.0) is imported here and never copied, so that the head-end's own codec is checked by somebody else's
bytes. This room imports `schemas` for the shipment file and nothing else of ours: no codec, no gateway, no Kafka.
"""
