"""The state of a model, kept and put back: every variable, and what random numbers come next."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
from keras import ops

from truetap.backends.comparing import Comparing

__all__ = ["State", "every_metric", "every_variable"]


class State:
    """What a step may change, as it was when this was made.

    Covered: weights, moving statistics, seeds of layers, the optimizer's and the metrics' variables; the
    generators of Python, NumPy and torch. What else a loop holds, such as an optimizer of its own, is its own.

    Args:
        model: A compiled Keras model whose variables are made.
        steps: The backend's steps.
    """

    def __init__(self, model: Any, steps: Comparing) -> None:
        self._variables = every_variable(model)
        self._values = [ops.copy(ops.stop_gradient(ops.convert_to_tensor(each))) for each in self._variables]
        self._backend = steps.remember(model)
        self._python = random.getstate()
        self._numpy = np.random.get_state()

    def restore(self) -> None:
        """Puts everything back, bit for bit."""
        for variable, value in zip(self._variables, self._values, strict=True):
            variable.assign(value)
        self._backend()
        random.setstate(self._python)
        np.random.set_state(self._numpy)


def every_variable(model: Any) -> list[Any]:
    """The variables of a model, its optimizer and its metrics, each once."""
    of_metrics = [variable for metric in every_metric(model) for variable in metric.variables]
    found = [*model.variables, *model.optimizer.variables, *of_metrics]
    return list({id(variable): variable for variable in found}.values())


def every_metric(model: Any) -> list[Any]:
    """The metrics of a model, each once; also those that a `metrics` property of the model's own leaves out."""
    found = [*model.metrics, *keras.Model.metrics.fget(model)]
    return list({id(metric): metric for metric in found}.values())
