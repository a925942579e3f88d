"""The operating-system process of a server: its streams, its signals, and a stop within a bounded time.

``stop`` handles the signals and logs the stop, and ``guard`` kills a process whose stop takes too long. ``streams``
keeps standard output and standard error from blocking. ``host`` connects all this to Hypercorn's own command line.
"""
