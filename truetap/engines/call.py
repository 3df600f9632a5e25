"""What `collect` was asked for, on its way to an engine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from truetap.data.arrays import DEFAULT_BATCH_SIZE
from truetap.errors import DataError
from truetap.identified import apart

__all__ = ["Call"]


@dataclass(frozen=True)
class Call:
    """The arguments of `collect` but for model and engine."""

    data: Any
    to: str | os.PathLike[str] | None = None
    batch_size: int | None = None
    steps: int | None = None
    ids: Any = None
    layers: Any = None
    inputs: bool = False
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] | None = None
    verbose: str | int = "auto"

    def __post_init__(self) -> None:
        for name in ("batch_size", "steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DataError(f"{name} is a number. Received: {name}={value!r}. Expected: None, or 1 or more.")

    @property
    def rows_per_batch(self) -> int:
        """The batch size, or its default."""
        return self.batch_size or DEFAULT_BATCH_SIZE

    def settled(self) -> Call:
        """With the data that a function makes, and the ids that `with_ids` put around them, taken out."""
        data = self.data
        if callable(data) and not hasattr(data, "__iter__") and not hasattr(data, "iter_batches"):
            data = data(*self.args, **(self.kwargs or {}))
        elif self.args or self.kwargs:
            raise DataError(
                f"args and kwargs are for a function that makes the data. Received: {type(data).__name__}. "
                "Expected: the function itself, such as make_batches instead of make_batches()."
            )
        data, ids = apart(data, self.ids)
        return replace(self, data=data, ids=ids, args=(), kwargs=None)
