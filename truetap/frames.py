"""pandas, which only `to_pandas` needs: loaded when it is asked for, and asked for by name when it is missing."""

from __future__ import annotations

import importlib
from typing import Any

from truetap.errors import TruetapError

__all__ = ["pandas"]


def pandas() -> Any:
    """The module.

    Raises:
        TruetapError: It isn't installed.
    """
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise TruetapError(
            "to_pandas needs pandas, which can't be imported. Install it: pip install 'truetap[pandas]'."
        ) from error
