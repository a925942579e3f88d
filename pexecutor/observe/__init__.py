"""Observe tasks: the event feed, the timeline of the last 15 minutes, histograms, and counts of whole batches.

Code here only reads what has happened and keeps a bounded summary of it. It decides nothing about a task. Metrics in
the format of Prometheus belong in ``web/api``.
"""
