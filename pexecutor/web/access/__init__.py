"""Decide who may call what: hosts, origins, tokens, sessions, and throttled sign-ins.

Every request passes ``gate`` before its route. Nothing here knows what a route does.
"""
