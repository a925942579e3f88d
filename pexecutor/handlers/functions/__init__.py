"""Handlers that call a Python function: on Trio, in a thread, or in a process of its own.

``function`` is the handler. For a function in its own process, ``process`` runs in the server and ``child`` in the
function's process.
"""
