"""Meters to Kafka and back: listeners for what meters push, sessions for what jobs ask.

What telegrams and answers mean is decided in pure functions (`identify`, `mapping`, `pull_mapping`) and in `pipeline`, which
knows no socket, so that a replay takes the same way. Sockets are callbacks on a transport (`push_listener`,
`session`), Kafka is reached by `deliveries` and two consumer threads (`meters_feed`, `intake`), and everything else
runs on one event loop.

How a meter's protocol is spoken is a driver's (`drivers`); what visits bring is made into records many jobs at once
(`finishing`, `outcomes`).

Nothing here may act on a meter beyond reading it, hold a key in a message, a log line or a repr, or acknowledge what
Kafka does not have yet.
"""
