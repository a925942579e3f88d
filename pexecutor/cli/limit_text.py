"""Format limits, pauses and reasons of the API as short texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import counted
from .record_text import one_line, since

Document = Mapping[str, Any]


def paused_what(pause: Document) -> str:
    """Return what is paused: the name of a handler, or ``everything``."""
    return one_line(pause["handler"]) if pause["what"] == "handler" else "everything"


def facts_of_server(readiness: Document) -> Iterator[tuple[str, str]]:
    """Yield the names and values of the facts about a server: its workers, queue, limits and pauses."""
    statistics = readiness["statistics"]
    store = statistics["store"]
    yield "phase", one_line(statistics["phase"])
    yield "workers", f"{statistics['busy']} of {statistics['pool_size']} busy"
    yield "running", str(store["running"])
    yield "waiting", f"{store['pending']} pending, {store['scheduled']} scheduled, of {store['queue_size']}"
    if store.get("trouble"):
        yield "trouble", one_line(store["trouble"])
    limits = store.get("limits", {})
    for limit in limits.get("limits", []):
        yield one_line(limit["which"]), used(limit)
    for pause in limits.get("pauses", []):
        yield "paused", f"{paused_what(pause)} since {one_line(pause['since'])} by {one_line(pause['by'])}"


def used(limit: Document) -> str:
    """Return how many slots of a limit are in use."""
    slots, number = limit["slots_in_use"], limit["concurrency"]
    full = limit["keys_full"]
    if limit["which"].startswith("handlers."):
        return f"{slots} of {number} slots in use"
    return f"{slots} slots in use, {number} per value, {counted(full, 'value')} full"


def why_waiting(record: Document) -> str:
    """Return why a task does not run, as far as its record in a listing says; ``""`` if it runs or has ended."""
    if "follows" in record:
        return f"follows {one_line(record['follows'])}"
    match record["state"]:
        case "scheduled":
            return f"due at {one_line(since(record))}"
        case "pending":
            return one_line("; ".join(record.get("blocked_by", ["waits for a worker"])))
        case _:
            return ""
