"""Who may do what: operators and their keys, the policy, freezes and holds, and the proof of a command from its bytes.

Everything here is pure: bytes, books and a clock's reading in, a verdict out. `streams/commands` asks before a job is
issued, and the gateway asks again before it touches a relay, with the same function and nothing but what the job carries.
Nothing here reads a topic, keeps a private key or writes a record.

    operators   hes.operators as a book: whom the root key made an operator, with which roles, for how long
    controls    hes.controls as a book: freezes, protected customers, standing authorizations
    policy      which kind of command needs what (YAML; `strict.yaml` holds where the settings name no other)
    targets     what a target means, and the hash tree over a long one
    terms       what a firmware campaign may do: its signed parameters
    verify      a request with its decisions: proven, waiting for decisions, or refused
    jobs        a job at the gateway: proven or refused
    chain       the audit chains: the next link, and a walk that finds the first altered or missing one
"""
