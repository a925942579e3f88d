"""Answer the API's requests: read a request into types, ask the executor, and write the reply.

Everything about the meaning of a route belongs here. Who may call a route belongs in ``web/access``; how bytes travel
belongs in ``web/serving`` and ``web/fast``.
"""
