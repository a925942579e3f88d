"""The library of functions that a node loads into the server: the prelude and the parts in ``functions/``."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Final

from .prelude import prelude

PARTS: Final = (
    "book",
    "writing",
    "damage",
    "steps",
    "nodes",
    "beats",
    "deliveries",
    "lanes",
    "running",
    "limits",
    "answers",
    "submit",
    "schedules",
    "records",
    "listing",
    "mending",
    "moves",
    "answer_moves",
    "schedule_moves",
    "delivery_moves",
    "limit_moves",
    "upgrade",
)

_LEAVES: Final = (
    "beats",
    "running",
    "limits",
    "records",
    "listing",
    "answer_moves",
    "schedule_moves",
    "delivery_moves",
    "limit_moves",
    "upgrade",
)
"""Parts that no other part uses. Their locals end with them, because Lua allows 200 at once."""


def read_functions() -> tuple[str, str]:
    """Return the name of the library of functions and its text.

    The name is derived from the text, so nodes of two versions can use one queue, each with its own functions.
    """
    folder = resources.files(__package__) / "functions"
    texts = {part: (folder / f"{part}.lua").read_text(encoding="utf-8") for part in PARTS}
    text = prelude() + "\n".join(f"do\n{texts[part]}end\n" if part in _LEAVES else texts[part] for part in PARTS)
    name = "pexecutor_" + hashlib.sha256(text.encode()).hexdigest()[:12]
    return name, f"#!lua name={name}\n" + text.replace("LIBRARY", name)
