"""What losses made of a user's function have in common: what it asks for by name, and how it is saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import keras

from truetap.errors import LossError
from truetap.losses.base import PerSampleLoss
from truetap.losses.signature import asked

__all__ = ["FunctionLoss"]


class FunctionLoss(PerSampleLoss):
    """A loss of a function of y_true, y_pred and, by name, of what else it asks for.

    Args:
        fn: The function.
        reduction: As for `keras.losses.Loss`.
        name: Of the loss; the function's by default.
        dtype: In which it is computed.

    Raises:
        LossError: It is a loss already, or asks for something that there is not.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        what = type(self).__name__
        if isinstance(fn, keras.losses.Loss):
            raise LossError(
                f"{what} takes a function of y_true, y_pred and by name what else it needs. Received: the loss "
                f"{fn.name!r}, which needs nothing else. Use it as it is."
            )
        self._asked = asked(fn, f"The function of {what}", least=2)
        super().__init__(reduction, name or self._asked.scope, dtype)
        self.fn = fn

    @property
    def takes_sample_weight(self) -> bool:
        return "sample_weight" in self._asked.names

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"fn": keras.saving.serialize_keras_object(self.fn)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**(config | {"fn": keras.saving.deserialize_keras_object(config["fn"])}))
