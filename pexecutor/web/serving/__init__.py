"""Serve the app: our sockets, TLS, idle connections, and the adapters to Hypercorn and quart-trio.

Our own HTTP/1.1 implementation belongs in ``web/fast``.
"""
