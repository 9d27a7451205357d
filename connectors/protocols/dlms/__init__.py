"""DLMS/COSEM: bytes in, values out.

This room holds what the standards say and nothing else: framing (HDLC, wrapper, M-Bus, bare), block transfer, ciphering,
A-XDR, COSEM names, times and units, the push layouts of real meters, and the client's sessions as generators. There is no
socket, no clock, no logging and no Kafka in it, and it imports nothing of ours: a test of it is one line, input and output.

    bytes ─ framing ─▶ Apdu ─ gbt ─▶ whole APDU ─ ciphering ─▶ plain APDU ─ apdus ─▶ notification ─ layouts ─▶ Telegram

`decode.decode_stream` runs that line over a capture; `decode.Assembler` is the part of it that a connection keeps.
Whatever arrives may be hostile: only `errors.DlmsError` leaves this room.
"""
