"""Docstrings as they are written here, for autodoc: Google's sections, `names` as in Markdown, no other mark-up.

Napoleon's own extension isn't used: it takes what stands before a colon in a property's first line for its type.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

__all__ = ["process"]

_CONFIG = Config(napoleon_use_rtype=False, napoleon_use_param=True)
_CODE = re.compile(r"(`[^`]*`)")
_MARKS = re.compile(r"([*|]|(?<=\w)_(?!\w))")  # what reStructuredText would read as emphasis, substitution or link


def process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turns a docstring into reStructuredText, in place."""
    plain = [line if line.lstrip().startswith((">>>", "...")) else _escaped(line) for line in lines]
    kind = "method" if what in ("property", "attribute") else what
    lines[:] = GoogleDocstring(plain, _CONFIG, app, kind, name, obj, options).lines()


def _escaped(line: str) -> str:
    parts = _CODE.split(line)
    return "".join(part if part.startswith("`") else _MARKS.sub(r"\\\1", part) for part in parts)
