"""`hes probe`: one direct session with one meter, for the engineer who puts it into service. No broker, no settings, no key
store: everything is on the command line.

    address ▶ access ▶ visit (driver over a blocking socket) ▶ readings ▶ report

It reads and never writes: no relay is moved, no clock is set. What goes wrong is said with what was tried, what the meter
answered and what to try next (`advice`). Nothing here prints a key or a password.
"""
