"""The documentation site: `make docs` builds it, and fails on every warning."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import command_pages
import docstrings
import rule_pages
from sphinx.application import Sphinx

import truetap

project = "truetap"
author = "The truetap authors"
project_copyright = author
release = version = truetap.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*")]  # types of fields, as autodoc writes them
default_role = "code"  # docstrings write `names` as Markdown does
linkcheck_timeout = 20

autodoc_typehints = "none"  # shapes and dtypes stand in the text
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"

html_theme = "furo"
html_title = "truetap"
html_static_path: list[str] = []
html_copy_source = False


def setup(app: Sphinx) -> None:
    """Pages that are made from the code, and docstrings as they are written here."""
    app.connect("autodoc-process-docstring", docstrings.process)
    app.connect("builder-inited", lambda app: command_pages.write(Path(app.srcdir, "reference", "command-line.md")))
    app.connect("builder-inited", lambda app: rule_pages.write(Path(app.srcdir, "rules")))
