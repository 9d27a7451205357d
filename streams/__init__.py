"""Kafka to Kafka: processors that split, join and schedule. No socket to the world outside Kafka is opened here."""
