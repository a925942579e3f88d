"""The command ``watch``: draw a snapshot of a server in a terminal, repeatedly."""
