"""Metrics as modules of the `evaluate` package: load one by its path, or make its class; offline.

`evaluate.load("cmc/evaluation/metrics/token_f1.py")` and `TokenF1()` give the same metric. Each
returns its value with a 95 % interval and the number of items; the formulas are plain functions
of `cmc.evaluation`.
"""
