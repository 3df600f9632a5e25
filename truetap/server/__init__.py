"""`truetap serve`: the views of a report, live, over runs of any size.

`serving` opens the door, `app` says what can be asked and `guard` who may ask. `served` is one run, `index` a small
table of an epoch's samples in DuckDB, `jobs` what is worked out behind the page, and `page` what the browser gets.
Reads only.
"""

from importlib.util import find_spec

from truetap.errors import StoreError

_MISSING = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
if _MISSING:
    raise StoreError(
        f"The server needs packages that are not installed. Received: no {' and no '.join(_MISSING)}. Expected: pip "
        "install 'truetap[serve]'."
    )

from truetap.server.serving import serve  # noqa: E402  it imports them

__all__ = ["serve"]
