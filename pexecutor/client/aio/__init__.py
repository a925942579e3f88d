"""The asynchronous client, for asyncio and Trio. ``client/sync`` is generated from this folder."""
