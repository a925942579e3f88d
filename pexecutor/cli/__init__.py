"""The command line: ``main`` parses arguments and reports failures, and each command has a module of its own.

``commands`` lists the commands. A command calls a server through ``client``, except ``db``, ``move`` and
``conformance``, which work directly on a store. ``exit_status`` defines the exit statuses.
"""
