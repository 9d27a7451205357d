"""What a service may meet, on one page: can trying again help, and does the process have to end?"""

from __future__ import annotations


class TemporaryError(Exception):
    """Something outside is down (Kafka, the registry, ClickHouse); the same call may succeed later."""


class DeliveryError(TemporaryError):
    """Kafka did not acknowledge a record within the time allowed."""


class FatalError(Exception):
    """The process must end without committing; started again, it takes up where it last committed."""


class TooLargeError(FatalError):
    """Kafka takes no record of this size, however often it is sent, and nothing could be written in its place."""


class TooManyDeadLettersError(FatalError):
    """The share of dead letters says that the deploy, not the data, is bad."""
