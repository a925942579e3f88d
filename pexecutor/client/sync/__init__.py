"""The synchronous client. Except ``timing.py``, it is generated from ``client/aio``: change the modules there.

``python -m tests.client.generation`` writes the files, and a test compares them.
"""
