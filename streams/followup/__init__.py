"""Follow-up: what an alarm or a wrong clock makes the head-end do by itself, by policy, and never more than a network bears.

    hes.alarms ─────────────┐                          ┌─▶ hes.jobs.urgent   reads and pings
    hes.readings.registers ─┼─▶ core, clock ─▶ service ┼─▶ hes.commands      a clock to be set, signed
    hes.command-acks ───────┘                          └─▶ hes.events.urgent alarms for people
    hes.meters (who hangs where)

`policy` is what follows what (YAML, `policy_file`), `core` decides on alarms, `clock` on clocks, `budgets` holds storms off,
`outputs` makes the records, `signer` keeps the key: all pure but for that. `service` reads and writes.

What follows is a function of the rule, the meter and the window of time that the alarm falls into, and so are the ids of
what is written: an alarm that comes twice causes nothing twice. Follow-up only reads. What changes a meter, setting its
clock, it asks for as an operator of its own does: signed, on hes.commands, where the policy of commands decides.
"""
