"""Files of the page: ours, those shared with the report, and the charts' code out of its package."""

from __future__ import annotations

import hashlib
import threading
from functools import cache, lru_cache
from importlib.resources import files
from importlib.util import find_spec

from truetap.errors import StoreError

__all__ = ["NAMES", "asset", "needed", "tag", "vega"]

_SHARED = (
    "charts.js",
    "dom.js",
    "inputs.js",
    "numbers.js",
    "parts.js",
    "samples.js",
    "style.css",
    "tables.js",
    "theme.js",
)
_OWN = (
    "app.js",
    "asking.js",
    "choosing.js",
    "classes.js",
    "compare.js",
    "index.html",
    "list.js",
    "live.css",
    "provider.js",
    "sections.js",
    "state.js",
)
NAMES = (*_SHARED, *_OWN, "vega.js")
_ONE = threading.Lock()


@cache
def asset(name: str) -> bytes:
    """A file by one of `NAMES`."""
    if name == "vega.js":
        return vega()
    package = "truetap.report" if name in _SHARED else "truetap.server"
    return files(package).joinpath("page", name).read_bytes()


@cache
def tag(name: str) -> str:
    """Changes when the file does."""
    return f'"{hashlib.blake2b(asset(name), digest_size=8).hexdigest()}"'


def vega() -> bytes:
    """Vega, Vega-Lite and Vega-Embed as one module; made once, in 1.5 s.

    Raises:
        StoreError: The package that has them isn't installed.
    """
    with _ONE:
        return _made()


def needed() -> None:
    """Says at once when the charts' package is missing.

    Raises:
        StoreError: It is.
    """
    if find_spec("vl_convert") is None:
        raise StoreError(
            "The server needs the package that carries the code of its charts. Received: vl-convert-python is not "
            "installed. Expected: pip install 'truetap[serve]'."
        )


@lru_cache(maxsize=1)
def _made() -> bytes:
    needed()
    import vl_convert  # 80 MB of native code, which only the charts need

    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.encode()
