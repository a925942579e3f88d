"""What all connections and the rounds of the fast listener share."""

from __future__ import annotations

from dataclasses import dataclass

from hypercorn.typing import ASGIFramework

from ..serving.idle import IdleConnections
from .prompt import PromptRoutes
from .submits import Submits


@dataclass(eq=False)
class Shared:
    """The shared parts.

    Parameters:
        app: the app, which answers the requests that are not prompt.
        prompt: the routes to answer without the app.
        submits: answers submits in the steps of a round.
        idle: the connections that wait for the head of a request.
        closing: whether connections end after their next reply, which says so.
        stopping: whether connections end after their current reply, and idle ones at once.
    """

    app: ASGIFramework
    prompt: PromptRoutes
    submits: Submits
    idle: IdleConnections
    closing: bool = False
    stopping: bool = False
