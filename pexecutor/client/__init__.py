"""The client of the HTTP API.

* Plain code without I/O: requests, replies, errors, and the decision to repeat a request.
* ``aio/`` drives it on asyncio and Trio, and ``sync/``, which is generated from ``aio/``, in a thread.
* ``documents.py`` is the client of the command line: raw JSON, on the lowest layer of ``sync/``.
"""
