"""Kafka, a Schema Registry and ClickHouse on this machine, real ones, started and stopped by the command line.

What is here knows how to install the parts (Maven, into a cache), how to start, watch and stop them as child processes,
and where they keep their data (`HES_HOME`). It knows nothing of meters, topics or records, and no service may import it:
a service is given addresses. Start with `stack.LocalStack`.
"""
