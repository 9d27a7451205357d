"""ANSI C12: bytes in, values out. C12.18, C12.21 and C12.22 carry PSEM services; C12.19 says what the tables they read mean.

This room holds what the standards say and nothing else. There is no socket, no clock, no logging and no Kafka in it, and it
imports nothing of ours: a test of it is one line, input and output.

    serial or TCP bytes ─ C12.18 link ─▶ one service
    TCP or UDP bytes ─ c1222_framing ─▶ Apdu ─ c1222_segments ─▶ whole Apdu ─ c1222_security ─▶ Opened: several services
    services ─▶ tables, procedures ─▶ fields

`decode.decode_c1222` runs the second line over octets and names every field with its offset, as a protocol analyser does.
Whatever arrives may be hostile: only `errors.C12Error` leaves this room.
"""
