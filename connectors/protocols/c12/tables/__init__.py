"""ANSI C12.19: what the octets of a meter's tables mean.

A table is a declaration (`types`, `layouts`): members in order, arrays sized by fields of other tables, members that are
there only if a flag is set. `decade0` to `decade11` declare the standard's tables, `declared` reads a manufacturer's from a
plain mapping. Table 0 comes first: byte order, number and time formats of all others stand in it.

    table 0 ─ config.read_config ─▶ GenConfig ─ model.Model ◀─ limiting tables (11, 21, 51, 61, 71, 111)
    octets ─ model.decode_table ─▶ Table: named values with offsets ─ describe ─▶ Node tree
                                     │
    12 to 16 ─ sources ─▶ what a source measures, its unit and exact factor
    61 to 67 ─ profile ─▶ rows by UTC time        21 to 28 ─ registers ─▶ values with OBIS codes
    71 to 76 ─ events ─▶ events and alarms        7, 8 ─ procedures ─▶ requests and results

Nothing here reads a clock or a file, and only `errors.C12Error` leaves it.
"""
