"""How the gateway speaks each protocol: a driver a protocol, and what the worker asks of every one of them (`port`).

`table` says which there are. The worker, its visits and their results know only `port`; the protocols' rooms know
nothing of the gateway. So a protocol joins by its room, a driver here and a row in the table.
"""
