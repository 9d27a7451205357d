"""The `hes` command: the one room that may know every other.

stdout carries data, stderr everything else. Exit codes: 0 done, 1 done with failures, 2 usage, 3 cannot connect,
130 interrupted.
"""
