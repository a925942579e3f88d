"""The store of one process: every record in memory, and plain code that decides about it.

``store`` is the entry. The modules beside it are its parts: names, start order, deadlines, history, the bound. Writing
changes to a file belongs in ``stores/sqlite``, behind the protocol in ``journal_protocol``.
"""
