"""What a loop said of one step by `step.log`, and the checks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from keras import ops

from truetap.about import column
from truetap.errors import LossError
from truetap.sample_loss import fitted, per_sample
from truetap.structure import flatten, is_nested

__all__ = ["Logged"]


@dataclass
class Logged:
    """See `LoopStep.log` for what each is; None where nothing was said."""

    ids: Any = None
    x: Any = None
    y_true: Any = None
    y_pred: Any = None
    loss: Any = None
    sample_weight: Any = None
    total_loss: Any = None
    gradients: Any = None
    metrics: Mapping[str, Any] | None = None

    def add(self, **said: Any) -> None:
        """Takes over what is said; what isn't stays as it was."""
        for each in fields(self):
            if said[each.name] is not None:
                setattr(self, each.name, said[each.name])

    def losses(self, y_pred: Sequence[Any], y_true: Sequence[Any]) -> dict[str, Any]:
        """Columns of losses, shape (n,): "loss"; of several outputs "loss/name" too; with weights "weighted_loss".

        Args:
            y_pred: The outputs, in a row.
            y_true: The labels, in a row.

        Raises:
            LossError: See `LoopStep.log`.
        """
        if self.loss is None:
            return {}
        if is_nested(self.loss):
            values = {name: _checked(value, name, (), ()) for name, value in flatten(self.loss).items()}
        else:
            values = {"": _checked(self.loss, "", y_true, y_pred)}
        found = {column("loss", name): per_sample(value, None) for name, value in values.items()}
        found["loss"] = sum(found.values())
        if self.sample_weight is not None:
            weight = self.sample_weight
            weights = flatten(weight) if is_nested(weight) else dict.fromkeys(values, weight)
            found["weighted_loss"] = sum(_weighted(value, weights.get(name)) for name, value in values.items())
        return found


def _weighted(values: Any, weight: Any) -> Any:
    if weight is None:
        return per_sample(values, None)
    over = fitted(ops.cast(ops.convert_to_tensor(weight), values.dtype), values)
    if over is None:
        raise LossError(
            f"step.log(sample_weight=…) has shape {tuple(weight.shape)} and the loss {tuple(values.shape)}. Expected: "
            "weights of shape (n,), or over leading axes of the loss."
        )
    return per_sample(values * over, None)


def _checked(loss: Any, name: str, y_true: Sequence[Any], y_pred: Sequence[Any]) -> Any:
    loss = ops.convert_to_tensor(loss)
    shape = tuple(loss.shape)
    what = f"step.log(loss=…){f' of output {name!r}' if name else ''}"
    if not shape:
        raise LossError(
            f"{what} takes the loss of each sample, shape (n,), before it is reduced. Received: a scalar. Expected: "
            "reduction=None in the loss, or no mean over the first axis; the scalar is step.log(total_loss=…)."
        )
    ranks = [tuple(value.shape) for value in (*y_true[:1], *y_pred[:1])]
    if len(shape) == 2 and sorted(map(len, ranks)) == [1, 2] and shape[1] != 1:
        raise LossError(
            f"{what} has shape {shape}: labels of shape {ranks[0]} were broadcast against outputs of shape {ranks[1]} "
            "to a table of n by n, and the loop minimises its mean. Expected: both of one shape; y = y[:, None], or "
            "y_pred = y_pred[:, 0]."
        )
    return loss
