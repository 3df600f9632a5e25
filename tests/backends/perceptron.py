"""A network of two layers worked out by hand: what a training on any number of devices has to give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Perceptron:
    """Values, losses and gradients of a batch, and steps of SGD, in float64.

    Args:
        weights: Kernel and bias of the hidden layer, then of the last.
        x: The inputs, shape (n, 3).
        y: The labels, shape (n, 1).
    """

    names = ("hidden/kernel", "hidden/bias", "last/kernel", "last/bias")

    def __init__(self, weights: list[Array], x: Array, y: Array) -> None:
        self.weights = [each.astype("float64") for each in weights]
        self._x, self._y = x, y

    def forward(self, x: Array) -> tuple[Array, Array]:
        """The hidden layer's outputs, and the last one's."""
        kernel, bias, last, offset = self.weights
        hidden = np.maximum(x @ kernel + bias, 0)
        return hidden, hidden @ last + offset

    def gradients(self, x: Array, y: Array) -> tuple[list[Array], Array]:
        """Of the mean squared error: by weight, and by the hidden layer's outputs."""
        hidden, y_pred = self.forward(x)
        by_pred = 2 * (y_pred - y) / len(x)
        by_hidden = by_pred @ self.weights[2].T
        before = by_hidden * (hidden > 0)
        return [x.T @ before, before.sum(0), hidden.T @ by_pred, by_pred.sum(0)], by_hidden

    def steps(self, epochs: int = 1) -> Iterator[tuple[int, Array, Array]]:
        """Each step's number and batch of 8, before its update."""
        step = 0
        for _ in range(epochs):
            for first in range(0, len(self._x), 8):
                x, y = self._x[first : first + 8], self._y[first : first + 8]
                yield step, x, y
                step += 1
                for weight, gradient in zip(self.weights, self.gradients(x, y)[0], strict=True):
                    weight -= 0.05 * gradient
