"""Thumbnails: a module of handlers, one function that runs in a process of its own.

It needs Pillow (``pip install pillow``). Start a server that has it, and ask for a thumbnail::

    pexecutor --handlers examples/thumbnails.py
    curl 127.0.0.1:8080/tasks -H 'Content-Type: application/json' -d '{"name": "thumbnail of cat.jpg",
        "handler": "thumbnail", "params": {"source": "cat.jpg", "target": "cat-small.jpg"}, "timeout": 20000}'

An image from a stranger can take very long to decode, or a library's bug can bring a process down. In a process of its
own neither harms the server, and a timeout ends it. Paths are as seen from where the server was started; a real service
would look up both in places of its own, and not take them from whoever can submit.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

import pexecutor

STEPS = 3


@pexecutor.handler(process=True)
def thumbnail(context: pexecutor.Context, *, source: str, target: str, width: int = 200) -> dict[str, int]:
    """Write a smaller version of an image, of the same proportions."""
    with Image.open(source) as image:
        context.log(f"{source} is {image.width} x {image.height}, {image.format}")
        image.load()
        context.progress(1, STEPS)
        height = max(1, round(image.height * width / image.width))
        small = image.resize((width, height))
    context.progress(2, STEPS)
    # A reader of the target sees all of it or nothing, also when this is cut off half-way.
    unfinished = Path(target).with_name(f".{context.id}-{Path(target).name}")
    try:
        small.save(unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    context.progress(3, STEPS)
    return {"width": width, "height": height}
