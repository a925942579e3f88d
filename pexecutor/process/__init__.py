"""The operating-system process of a server: its streams, its signals, and a bounded stop.

``stop`` has the signals and the log lines of a stop, and ``guard`` ends a process that overruns its bound. ``streams``
keeps standard output and standard error from blocking. ``host`` does all this under Hypercorn's own command line.
"""
