"""Operating-system processes: start them, serve their pipes, and end every process that an attempt has started.

Commands and functions with ``process=True`` share this code. What a command's table declares belongs in
``handlers/command``.
"""
