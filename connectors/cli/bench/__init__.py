"""Benchmarks of the parts, each beside a peer where one can do the same; figures, never a verdict."""
