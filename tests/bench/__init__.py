"""Benchmarks: ours beside a peer or a limit, in one run."""
