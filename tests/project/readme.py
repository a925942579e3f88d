"""The README's code blocks, and what each is."""

from __future__ import annotations

from .markdown import Block
from .page import README

BLOCKS = README.blocks


def in_language(language: str) -> list[Block]:
    """The blocks in one language, in order."""
    return [block for block in BLOCKS if block.language == language]


def shown_after(block: Block) -> str:
    """The text that the README shows as what comes of a block."""
    return README.shown_after(block)


def _is_program(block: Block) -> bool:
    """Whether it is shown what a block of Python prints; if not, it is a module of handlers."""
    return BLOCKS[BLOCKS.index(block) + 1].language == "text"


PROGRAMS = [block for block in in_language("python") if _is_program(block)]
MODULES = [block for block in in_language("python") if not _is_program(block)]

SET_UP_AND_RUN, TEST, WITH_HANDLERS, ON_MANY_MACHINES, WITH_FLAGS, UNDER_HYPERCORN = in_language("sh")
