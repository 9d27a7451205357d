"""Hostile octets for every decoder: targets, seeds, a driver that mutates, and one that follows coverage.

A target takes octets and lets nothing but our own errors happen; what else it raises is a finding. `test_seeds.py` replays
all seeds and mutates them for a few seconds in `make test`; `python -m tests.fuzz.drive` runs for as long as one likes.
"""
