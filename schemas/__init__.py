"""The contracts: what crosses a topic, and nothing else.

Here live the Avro schemas (`*.avsc`, one file a record), their typed mirror (`records`), the codec of the Confluent wire
format (`codec`), the registry client (`registry`), ids that are a function of what an event states (`ids`), and the
loader of `topology.yaml` (`topology`). This package imports nothing else of ours.
"""
