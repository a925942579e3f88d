"""A plain server for comparison, quart-trio on Hypercorn: ``python -m bench.plain``.

Its figures show what a request costs without an executor. ``POST /tasks`` decodes a list of tasks, stores each new name
in a dict and puts the task in a channel. ``POST /echo`` replies with the request's body. The server creates no records
and no verdicts, and it has no limits and no checks.
"""

from __future__ import annotations

import socket
from typing import Any, Final

import msgspec
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from quart import request
from quart_trio import QuartTrio

from pexecutor import Task

CHANNEL_SIZE: Final = 10_000_000


def make_app() -> QuartTrio:
    """Return the app of the plain server."""
    app = QuartTrio(__name__)
    decode = msgspec.json.Decoder(list[Task]).decode
    held: dict[str, Task] = {}
    to_workers, _from_queue = trio.open_memory_channel[Task](CHANNEL_SIZE)

    @app.get("/readyz")
    async def ready() -> dict[str, Any]:
        return {}

    @app.post("/tasks")
    async def submit() -> dict[str, Any]:
        taken = 0
        for task in decode(await request.get_data()):
            if task.name not in held:
                held[task.name] = task
                to_workers.send_nowait(task)
                taken += 1
        return {"taken": taken, "held": len(held)}

    @app.post("/echo")
    async def echo() -> bytes:
        body = await request.get_data()
        assert isinstance(body, bytes)
        return body

    @app.get("/held")
    async def count() -> dict[str, Any]:
        return {"held": len(held)}

    return app


def main() -> None:
    """Serve until killed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = Config()
        config.bind = [f"fd://{listener.fileno()}"]
        config.accesslog = config.errorlog = None
        config.keep_alive_max_requests = 1_000_000_000
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        trio.run(serve, make_app(), config)


if __name__ == "__main__":
    main()
