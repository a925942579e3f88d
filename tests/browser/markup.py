"""Check HTML with html-validate, which npm installs once into pytest's cache.

One process of Node.js checks all pages of a test process, because its start takes longer than a page.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Final

PACKAGE: Final = "html-validate@9.7.1"  # the last version for the Node.js of Debian 12

PROGRAM: Final = Path(__file__).with_name("markup.cjs")

INSTALL_SECONDS_MAX: Final = 300

OF_ALL: Final = {
    "doctype-style": "off",  # the standard allows lower case
    "no-trailing-whitespace": "off",  # a browser keeps the line breaks of the source
    "valid-id": ["error", {"relaxed": True}],  # the standard allows dots, which are in names of parameters
}
"""Rules of html-validate's recommended ones that differ here."""

OF_DOCUMENTS: Final = {
    "attribute-boolean-style": "off",  # a browser writes each attribute with a value
    "long-title": "off",  # the title holds the name of a task, which may be long
    "no-inline-style": "off",  # the page's policy forbids them in the source; positions that scripts set look like them
}
"""Rules that also differ for documents that a browser has written."""


def install(folder: Path) -> Path:
    """Install html-validate into a folder, unless it holds this version; return the folder."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the test processes share the folder
        installed = folder / "installed"
        if not installed.exists() or installed.read_text() != PACKAGE:
            command = ("npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder), PACKAGE)
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=INSTALL_SECONDS_MAX)
            installed.write_text(PACKAGE)
    return folder


class Markup:
    """The process that checks HTML."""

    def __init__(self, folder: Path) -> None:
        self._node = subprocess.Popen(
            ["node", str(PROGRAM), str(folder / "node_modules/html-validate")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def __enter__(self) -> Markup:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._node.communicate()

    def faults_of_source(self, html: str) -> list[str]:
        """Return the faults of HTML that a server has sent: the rule, the fault, and the element."""
        return self._faults(html, OF_ALL)

    def faults_of_document(self, html: str) -> list[str]:
        """Return the faults of HTML that a browser has written from its document."""
        return self._faults(f"<!doctype html>\n{html}", OF_ALL | OF_DOCUMENTS)

    def _faults(self, html: str, rules: dict[str, Any]) -> list[str]:
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.write(json.dumps({"html": html, "rules": rules}) + "\n")
        self._node.stdin.flush()
        found: list[dict[str, Any]] = json.loads(self._node.stdout.readline())
        return [f"{each['ruleId']}: {each['message']} at {each['selector']}, line {each['line']}" for each in found]
