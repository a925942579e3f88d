"""Handlers that make an HTTP call which the operator has declared."""
