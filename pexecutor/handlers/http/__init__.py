"""Handlers that make HTTP calls, as the operator has declared them."""
