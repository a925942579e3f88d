"""How Sphinx builds the documentation: ``nox -s docs``. Nothing is fetched, and a warning is an error."""

from __future__ import annotations

import re
import subprocess
import sys

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

import pexecutor

project = "pexecutor"
author = "The pexecutor authors"
copyright = author  # noqa: A001 - the name that Sphinx reads
version = release = pexecutor.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"pexecutor {version}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_copy_source = False
html_theme_options = {"footer_icons": []}
pygments_style = "default"
pygments_dark_style = "github-dark"

autodoc_default_options = {"members": True, "member-order": "bysource", "exclude-members": "__new__"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!pexecutor\b).*")]  # other libraries' names: their pages are not at hand


def link_public_name(
    _app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, contnode: nodes.Element
) -> nodes.Node | None:
    """Link a name that the package exports, wherever it is defined; leave other names of the package as text."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("pexecutor."):
        return None
    name = re.sub(r".*\.", "", target)
    if name not in pexecutor.__all__:
        return contnode
    domain = env.domains.python_domain
    return domain.resolve_xref(env, node["refdoc"], _app.builder, "obj", f"pexecutor.{name}", node, contnode)


class CommandHelp(SphinxDirective):
    """Show what ``pexecutor COMMAND --help`` prints."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Run the command."""
        command = [sys.executable, "-m", "pexecutor", *self.arguments[0].split(), "--help"]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [nodes.literal_block(printed, printed, language="text")]


def setup(app: Sphinx) -> None:
    """Register what this file adds to Sphinx."""
    app.add_directive("command-help", CommandHelp)
    app.connect("missing-reference", link_public_name)
