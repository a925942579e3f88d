"""The file of a local store: its journal, its tables, its lock, and its inspection.

Code here makes decided changes durable and reads them back. It decides nothing about a task; that is the work of
``stores/local``.
"""
