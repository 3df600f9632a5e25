"""What labels and inputs may hold: said before the model is asked, whose own error names neither."""

from __future__ import annotations

from typing import Any

import numpy as np

from truetap.errors import DataError
from truetap.structure import flatten

__all__ = ["check_inputs", "check_labels"]


def check_labels(y: Any) -> None:
    """Return when labels are numbers; raise DataError otherwise."""
    for path, leaf in flatten(y).items():
        if leaf is None:
            continue
        kind = getattr(leaf.dtype, "kind", None)  # NumPy's and JAX'; others are asked by name
        if kind in ("O", "S", "U", "T") or (kind is None and "str" in str(leaf.dtype)):
            raise DataError(
                f"Labels are numbers. Received: labels {path!r} of dtype {leaf.dtype}. Expected: int or float; make "
                "class indices of names, such as names, y = np.unique(y, return_inverse=True)."
            )


def check_inputs(x: Any) -> None:
    """Return when inputs are numbers, bools or strings; raise DataError otherwise."""
    for path, leaf in flatten(x).items():
        if getattr(getattr(leaf, "dtype", None), "kind", "") != "O" or not np.size(leaf):
            continue
        first = np.ravel(leaf)[0]
        if not isinstance(first, str | bytes):
            at = f" {path!r}" if path else ""
            raise DataError(
                f"Inputs are numbers, bools or strings. Received: inputs{at} of dtype object that hold "
                f"{type(first).__name__}. Expected: such as x.astype('float32')."
            )
