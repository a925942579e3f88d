"""Make thumbnails: a module with one handler, a function that runs in its own process.

The module needs Pillow (``pip install pillow``). Start a server with the module, and submit a task::

    pexecutor --handlers examples/thumbnails.py
    curl 127.0.0.1:8080/tasks -H 'Content-Type: application/json' -d '{"name": "thumbnail of cat.jpg",
        "handler": "thumbnail", "params": {"source": "cat.jpg", "target": "cat-small.jpg"}, "timeout": 20000}'

An untrusted image can take very long to decode, or can crash the process through a bug in the library. In a separate
process, neither harms the server, and a timeout kills the process. Paths are relative to the folder in which the server
was started. A real service should not accept arbitrary paths from clients; it should look files up in its own folders.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

import pexecutor

STEPS = 3


@pexecutor.handler(process=True)
def thumbnail(context: pexecutor.Context, *, source: str, target: str, width: int = 200) -> dict[str, int]:
    """Write a smaller version of an image with the same proportions."""
    with Image.open(source) as image:
        context.log(f"{source} is {image.width} x {image.height}, {image.format}")
        image.load()
        context.progress(1, STEPS)
        height = max(1, round(image.height * width / image.width))
        small = image.resize((width, height))
    context.progress(2, STEPS)
    # Write to a temporary file and rename it, so that readers never see a partial image, even after a timeout.
    unfinished = Path(target).with_name(f".{context.id}-{Path(target).name}")
    try:
        small.save(unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    context.progress(3, STEPS)
    return {"width": width, "height": height}
