"""What every service stands on: settings, logging, metrics, Kafka clients, dead letters, clock, health.

It knows records and topics (`schemas`), and no protocol, no meter and no table. A service is built from `service.Runtime`
and ends in one of two ways: cleanly on SIGTERM, or at once with an exit code that is not 0, so that the orchestrator
starts it again from its last committed offset.
"""
