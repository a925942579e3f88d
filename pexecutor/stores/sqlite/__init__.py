"""The file of a local store: its journal, its tables, its locks and its inspection.

The code here makes decided changes durable and reads them back. Decisions about tasks are made in ``stores/local``.
"""
