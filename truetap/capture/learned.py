"""What the trace of a phase's step showed that holds for every step of it: shapes, names, losses, what was said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras

from truetap.backends.keras_private import OutputLoss
from truetap.pairing import Outputs
from truetap.tasks import Hint

__all__ = ["Learned"]


@dataclass
class Learned:
    """What is static of a phase's step: known once it was traced.

    Attributes:
        outputs: The model's outputs.
        hints: What the model and its loss say of each output.
        losses: The losses that the model trains with; kept here, since while a step runs others stand in their place.
        said: What should be said.
        x_paths: Paths of the leaves of x.
        rows_of: Whether what was tapped under a name has a row for each sample; None: to be told by its length.
        training: The watched layers in the order of their calls, with what each was given as `training=`.
        masked: Those of them that were given a mask.
        makers: Of each output, the watched layer whose result it is.
        shapes: Shapes and dtypes of what the losses got: "y/<output>" and "y_pred/<output>".
        without_gradient: Trainable weights that no gradient reaches.
    """

    outputs: Outputs | None = None
    hints: dict[str, Hint] = field(default_factory=dict)
    losses: list[OutputLoss] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    x_paths: tuple[str, ...] = ()
    rows_of: dict[str, bool | None] = field(default_factory=dict)
    training: dict[str, bool | None] = field(default_factory=dict)
    masked: set[str] = field(default_factory=set)
    makers: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, tuple[tuple[int | None, ...], str]] = field(default_factory=dict)
    without_gradient: set[str] = field(default_factory=set)

    def has_rows(self, name: str, value: Any, size: int | None) -> bool:
        """Whether a tapped value has a row for each sample: as said, else by its length when it first comes.

        Args:
            name: The name it was tapped under.
            value: It, on the host.
            size: The batch's size; None if that isn't known.
        """
        if self.rows_of.get(name) is None:
            self.rows_of[name] = bool(value.ndim) and len(value) == size
        return bool(self.rows_of[name])

    def keep_shape(self, name: str, value: Any) -> None:
        """Keeps the shape and dtype of a value, as they first were."""
        if name not in self.shapes:
            shape = tuple(each if each is None else int(each) for each in getattr(value, "shape", ()))
            self.shapes[name] = (shape, keras.backend.standardize_dtype(getattr(value, "dtype", "object")))

    def say(self, text: str) -> None:
        """Keeps a notice once."""
        if text not in self.said:
            self.said.append(text)
