"""The one file: our page, the content as JSON, and the code that draws the charts.

The page may run these scripts only (by their hashes) and may load nothing: its Content-Security-Policy says so. The
content is data in a script element that no browser executes, in which no markup can stand; the page puts it in as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truetap.errors import StoreError
from truetap.report.charts import config
from truetap.report.content import Content
from truetap.report.gather import gather

if TYPE_CHECKING:
    from truetap.run import Run

__all__ = ["as_html", "write_report"]

MODULES = (
    "dom.js",
    "numbers.js",
    "charts.js",
    "tables.js",
    "inputs.js",
    "samples.js",
    "parts.js",
    "theme.js",
    "main.js",
)

_IMPORT = re.compile(r"^import .*;\n", re.MULTILINE)
_ESCAPED = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}


def write_report(run: Run, path: str | os.PathLike[str], *, model: Any = None, data: Any = None) -> str:
    """Writes a report of the run; see `Run.report`.

    Returns:
        The path of the file.

    Raises:
        StoreError: The charts' package isn't installed, or the file can't be written.
    """
    _vega()  # a missing package is said before the run is read
    text = as_html(gather(run, model, data))
    target = Path(path)
    partial = target.with_name(f"{target.name}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        raise StoreError(
            f"The report can't be written. Received: {os.fspath(path)!r} ({error}). Expected: a file in a folder that "
            "exists and can be written."
        ) from error
    return os.fspath(path)


def as_html(content: Content) -> str:
    """The page with the content in it."""
    parts = {
        "style": _asset("style.css"),
        "content": escaped({**content.to_json(), "config": config()}),
        "page": bundled(),
        "vega": _vega(),
    }
    parts["policy"] = _policy([parts["page"], parts["vega"]], parts["style"])
    return re.sub(r"{{(\w+)}}", lambda found: parts[found[1]], _asset("page.html"))


def escaped(plain: Any) -> str:
    r"""JSON that can stand in a script element: nothing in it ends the element, or begins a comment.

    Example:
        >>> escaped({"a": "</script>"})
        '{"a":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPED).encode("utf-8", "surrogatepass").decode("utf-8", "replace")


@cache
def bundled() -> str:
    """Our modules as one, in the order of their imports: a file without a server has no others to import from."""
    parts = [_IMPORT.sub("", _asset(name)).replace("\nexport ", "\n") for name in MODULES]
    return "\n".join(parts)


@cache
def _vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    try:
        import vl_convert
    except ImportError as error:
        raise StoreError(
            "A report needs the package that carries the code of its charts. Expected: pip install 'truetap[report]'."
        ) from error
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    if "</script" in script.lower() or "<!--" in script:
        raise StoreError(
            f"The script of vl-convert-python {version('vl-convert-python')} can't stand in a page: it holds markup. "
            "Expected: a version from 1.9 on."
        )
    return script


def _policy(scripts: list[str], style: str) -> str:
    allowed = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {allowed}; style-src {_hash(style)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


@cache
def _asset(name: str) -> str:
    return files("truetap.report").joinpath("page", name).read_text(encoding="utf-8")
