"""``pexecutor watch``: a snapshot of a server, drawn again and again in a terminal."""
