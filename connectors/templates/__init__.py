"""What is known of each meter type, as YAML: adding a meter type is adding a file.

`dlms/*.yaml` say how a type pushes and is read, each extending another down to `generic`. They hold public facts, with
their source in a comment, and never a key. `loader` reads them strictly; what they become are the values of
`connectors.protocols.dlms.template`. `c12/*.yaml` are those of ANSI C12 meters, with `c12_loader` and `c12_template`.
"""
