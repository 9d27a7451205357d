"""Meter protocols as pure codecs: bytes in, values out. No socket, no clock, no Kafka, no logging, nothing else of ours."""
