"""The command line: ``main`` parses and reports, ``commands`` lists the commands, and each command has its module.

A command talks to a server through ``client``, except those that work on a store directly (``db``, ``move``,
``conformance``). Its exit statuses are in ``exit_status``.
"""
