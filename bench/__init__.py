"""Benchmarks. Each measures a bare reference in the same run, and says how far the real thing is from it."""
