"""Meters to Kafka and back: listeners for what meters push, sessions for what jobs ask.

What telegrams and answers mean is decided in pure functions (`identify`, `mapping`, `pull_mapping`) and in `pipeline`, which
knows no socket, so that a replay takes the same way. Sockets are callbacks on a transport (`push_listener`,
`session`), Kafka is reached by `deliveries` and two consumer threads (`meters_feed`, `intake`), and everything else
runs on one event loop.

How a meter's protocol is spoken is a driver's (`drivers`); what visits bring is made into records many jobs at once
(`finishing`, `outcomes`).

What moves a relay or changes a meter is proven from the job itself (`proofs`), kept in Kafka before it is sent (`intents`),
sent at most once and settled (`deeds`), and capped over all workers where it cuts a supply (`openings`).

Nothing here may act on a meter in another way, hold a key in a message, a log line or a repr, or acknowledge what
Kafka does not have yet.
"""
