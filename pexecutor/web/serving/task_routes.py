"""Routes about tasks: what the framework has read is handed on to the answers, and what they say is handed back."""

from __future__ import annotations

from quart import Response
from quart_trio import QuartTrio
from werkzeug.routing import BaseConverter

from ...task import State
from ..api.tasks import Arguments, TaskAnswers
from .quart_app import current_request


class _TaskIdConverter(BaseConverter):
    """A segment that may be an id: not that of a listing, or cancelling it would be a method that the listing has."""

    regex = rf"(?!(?:{'|'.join(State)})$)[^/]+"


class TaskRoutes:
    """Submit, list, show, change and cancel."""

    def __init__(self, answers: TaskAnswers) -> None:
        self._answers = answers

    def add_to(self, app: QuartTrio) -> None:
        """Register them."""
        app.url_map.converters["task_id"] = _TaskIdConverter
        app.add_url_rule("/tasks", view_func=self.submit, methods=["POST"])
        app.add_url_rule("/tasks", view_func=self.list_tasks, methods=["GET"])
        app.add_url_rule("/handlers", view_func=self.list_handlers, methods=["GET"])
        app.add_url_rule("/tasks/pending", view_func=self.list_pending, methods=["GET"])
        app.add_url_rule("/tasks/running", view_func=self.list_running, methods=["GET"])
        app.add_url_rule("/tasks/finished", view_func=self.list_finished, methods=["GET"])
        app.add_url_rule("/tasks/<task_id:task_id>", view_func=self.show, methods=["GET"])
        app.add_url_rule("/tasks/<task_id:task_id>", view_func=self.change, methods=["PATCH"])
        app.add_url_rule("/tasks/<task_id:task_id>", view_func=self.cancel, methods=["DELETE"])

    async def submit(self) -> Response:
        """One task, a list of them, or a stream."""
        return (await self._answers.submit(current_request(), _arguments())).as_response()

    async def list_handlers(self) -> Response:
        """What can run tasks here."""
        return self._answers.handlers().as_response()

    async def list_tasks(self) -> Response:
        """Tasks of any state."""
        return (await self._answers.every_state(_arguments())).as_response()

    async def list_pending(self) -> Response:
        """Pending tasks, in start order."""
        return (await self._answers.one_state(State.PENDING, _arguments())).as_response()

    async def list_running(self) -> Response:
        """Running tasks, by start time."""
        return (await self._answers.one_state(State.RUNNING, _arguments())).as_response()

    async def list_finished(self) -> Response:
        """Finished tasks that are still known, the latest first."""
        return (await self._answers.one_state(State.FINISHED, _arguments())).as_response()

    async def show(self, task_id: str) -> Response:
        """One record."""
        return (await self._answers.show(task_id, _arguments())).as_response()

    async def change(self, task_id: str) -> Response:
        """Change a task that waits."""
        return (await self._answers.change(current_request(), task_id, _arguments())).as_response()

    async def cancel(self, task_id: str) -> Response:
        """Cancel."""
        return (await self._answers.cancel(task_id, _arguments())).as_response()


def _arguments() -> Arguments:
    arguments: Arguments = current_request().args.to_dict(flat=False)
    return arguments
