"""The store of one process: every record is in memory, and synchronous code decides about it.

``store`` is the entry. The other modules are its parts: names, start order, deadlines, history, the bound of the queue.
Writing changes to a file is the work of ``stores/sqlite``, behind the protocol in ``journal_protocol``.
"""
