"""The documentation site: `make docs` builds it, and fails on every warning."""

from __future__ import annotations

import truetap

project = "truetap"
author = "The truetap authors"
release = version = truetap.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.intersphinx"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = False
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
intersphinx_mapping = {}
html_theme = "furo"
html_title = "truetap"
html_static_path: list[str] = []
