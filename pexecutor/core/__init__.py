"""Run tasks: the executor, its pool of workers, one attempt, and what the executor counts.

Code here claims tasks from a store, runs their handlers and records the endings. How a store keeps tasks belongs in
``stores``; what a handler does belongs in ``handlers``; nothing here knows HTTP.
"""
