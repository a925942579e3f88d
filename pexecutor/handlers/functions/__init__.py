"""Handlers that call a Python function: on Trio, in a thread, or in a process of its own.

``function`` is the handler, ``process`` is this side of a function's own process, and ``child`` is the other side.
"""
