"""Write the synchronous client from the asynchronous one: ``python -m tests.client.generation``.

Both have the same methods, and each method is written once. The words of asynchronous code are replaced one by one, as
in httpcore, so the result is plain code with plain types, which type checkers and debuggers understand.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pexecutor

CLIENT: Final = Path(pexecutor.__file__).parent / "client"
WRITTEN_BY_HAND: Final = {"__init__.py", "timing.py"}

WORDS: Final = {
    r"async (def|with|for)\b": r"\1",
    r"\bawait ": "",
    r"\bawait\(": "(",
    r"\b__a(enter|exit|iter|next)__\b": r"__\1__",
    r"\ba(close|read|iter_bytes)\b": r"\1",
    r"\banext\b": "next",
    r"\bStopAsyncIteration\b": "StopIteration",
    r"\bAsync(?=[A-Z])": "",
    r"\basynchronous\b": "synchronous",
}


def sources() -> list[Path]:
    """Return the modules from which others are generated."""
    return [path for path in sorted((CLIENT / "aio").glob("*.py")) if path.name not in WRITTEN_BY_HAND]


def target_of(source: Path) -> Path:
    """Return the module that is generated from a source."""
    return CLIENT / "sync" / source.name


def synchronous(text: str) -> str:
    """Return the synchronous form of a module."""
    for pattern, word in WORDS.items():
        text = re.sub(pattern, word, text)
    return text


def tree_of(text: str) -> str:
    """Return the syntax tree of a module, in which neither layout nor the order of imports counts."""
    tree = ast.parse(text)
    tree.body.sort(key=lambda node: (not isinstance(node, ast.ImportFrom), ast.unparse(node)))
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            node.names.sort(key=lambda alias: alias.name)
    return ast.dump(tree)


def main() -> None:
    """Write all generated modules, and format them."""
    for source in sources():
        target_of(source).write_text(synchronous(source.read_text(encoding="utf-8")), encoding="utf-8")
    targets = [str(target_of(source)) for source in sources()]
    subprocess.run([sys.executable, "-m", "ruff", "check", "--select", "I", "--fix", "--quiet", *targets], check=True)
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", *targets], check=True)


if __name__ == "__main__":
    main()
