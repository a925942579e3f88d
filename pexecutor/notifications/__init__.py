"""Notifications: tell other systems how tasks have ended, and which occurrences of schedules were skipped.

The settings declare *targets*, the receivers (``settings.py``, ``targets.py``). A store makes and keeps the
*deliveries* (``stores/deliveries.py``). The dispatcher of each node sends the deliveries that are due
(``dispatcher.py``), as HTTP requests (``sender.py``).
"""
