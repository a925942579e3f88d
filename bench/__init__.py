"""Benchmarks of pexecutor. Where possible, a part also measures a reference in the same run and reports the ratio."""
