"""Defaults and limits that several modules use, each written once; any module may import them.

A limit of a single module stands in that module, and the limits of a task's fields in ``task.py``.
"""
