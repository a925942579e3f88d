"""The framework's routes about tasks; ``TaskAnswers`` computes the replies."""

from __future__ import annotations

from quart import Response
from quart_trio import QuartTrio
from werkzeug.routing import BaseConverter

from ...task import State
from ..api.tasks import Arguments, TaskAnswers
from .quart_app import current_request


class _TaskIdConverter(BaseConverter):
    """A path segment that may be an id, but not the name of a listing: `DELETE /tasks/pending` must be answered 405."""

    regex = rf"(?!(?:{'|'.join(State)})$)[^/]+"


class TaskRoutes:
    """Submit, list, show, change and cancel."""

    def __init__(self, answers: TaskAnswers) -> None:
        self._answers = answers

    def add_to(self, app: QuartTrio) -> None:
        """Register the routes."""
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
        """Submit one task, a list of tasks, or a stream."""
        return (await self._answers.submit(current_request(), _arguments())).as_response()

    async def list_handlers(self) -> Response:
        """List the handlers."""
        return self._answers.handlers().as_response()

    async def list_tasks(self) -> Response:
        """List tasks of any state."""
        return (await self._answers.every_state(_arguments())).as_response()

    async def list_pending(self) -> Response:
        """List pending tasks, in start order."""
        return (await self._answers.one_state(State.PENDING, _arguments())).as_response()

    async def list_running(self) -> Response:
        """List running tasks, by start time."""
        return (await self._answers.one_state(State.RUNNING, _arguments())).as_response()

    async def list_finished(self) -> Response:
        """List the finished tasks whose records are kept, the latest first."""
        return (await self._answers.one_state(State.FINISHED, _arguments())).as_response()

    async def show(self, task_id: str) -> Response:
        """Show one record."""
        return (await self._answers.show(task_id, _arguments())).as_response()

    async def change(self, task_id: str) -> Response:
        """Change a waiting task."""
        return (await self._answers.change(current_request(), task_id, _arguments())).as_response()

    async def cancel(self, task_id: str) -> Response:
        """Cancel a task."""
        return (await self._answers.cancel(task_id, _arguments())).as_response()


def _arguments() -> Arguments:
    arguments: Arguments = current_request().args.to_dict(flat=False)
    return arguments
