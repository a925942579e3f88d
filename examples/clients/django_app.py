"""A Django project in one file that hands work to pexecutor: ``python django_app.py runserver``.

``POST /reports/2026-11`` submits a task and replies at once, and ``GET /tasks/ID`` shows the task. The server is at
``PEXECUTOR_URL``.
"""

from __future__ import annotations

import sys
from functools import cache

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import execute_from_command_line
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from pexecutor import Client, NotFoundError

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["localhost", "127.0.0.1"], ROOT_URLCONF=__name__, SECRET_KEY="only-an-example")


@cache
def tasks() -> Client:
    """Return the client of this process. It is made at the first request, after the web server has forked."""
    return Client()


@csrf_exempt
@require_POST
def make_report(request: HttpRequest, month: str) -> JsonResponse:
    """Submit the task. Two requests for one month get the same task."""
    handle = tasks().submit(f"report-{month}", "sleep", duration=100, on_conflict="join")
    return JsonResponse({"id": handle.id}, status=202)


@require_GET
def show_task(request: HttpRequest, task_id: str) -> JsonResponse:
    """Show the task, so that the browser can ask again until it has ended."""
    try:
        record = tasks().get(task_id).record
    except NotFoundError:
        return JsonResponse({"error": "unknown task"}, status=404)
    return JsonResponse({"state": record.state, "outcome": record.outcome, "result": record.result})


urlpatterns = [path("reports/<month>", make_report), path("tasks/<task_id>", show_task)]
application = WSGIHandler()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
