"""Whole logs: the output of each attempt in files of its own.

``segments.py`` defines the form of the files, ``attempt_log.py`` decides what goes where, ``writer.py`` writes in a
thread, ``files.py`` holds all logs within their bounds, and ``reading.py`` reads them.
"""
