"""The splitter: both lanes of `hes.events` to the topic of each record's kind.

`route` says where a value goes and is pure; `service` moves batches, by `forward`. It decodes nothing that passes through
unchanged.
"""
