"""What `overhead.py` trains, and the ways to train it: plain, with a Recorder, and as people do without one.

Three models of the size of a tutorial's, on data made here: each is light enough that what a recorder adds to a
step would be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
import numpy as np

import truetap as tt

__all__ = ["EPOCH", "WAYS", "WORKLOADS", "Way", "Workload", "raw", "workload"]

CLASSES = 10
EPOCH = 200  # steps of an epoch at most
WORKLOADS = ("cnn", "mlp", "transformer")


@dataclass(frozen=True)
class Workload:
    """A model and data for it.

    Attributes:
        title: What a reader calls it.
        make: Compiles a new model; takes options of `compile`.
        x: Inputs of `EPOCH` batches.
        y: Their labels.
        batch: Samples of a batch.
        large: The layers of which raw activations are recorded: 100 MB/s and more in a step of usual speed.
        inputs: Whether the raw inputs are recorded with them, where layers alone don't come to that.
    """

    title: str
    make: Callable[..., Any]
    x: Any
    y: Any
    batch: int
    large: tuple[str, ...]
    inputs: bool = False

    def data(self, steps: int) -> dict[str, Any]:
        """Arguments of `fit` and `predict` for so many batches."""
        rows = steps * self.batch
        if keras.backend.backend() == "tensorflow":
            return {"x": self._dataset.take(steps)}
        return {"x": self.x[:rows], "y": self.y[:rows], "batch_size": self.batch}

    @cached_property
    def _dataset(self) -> Any:
        """Batches in order, with TensorFlow's autotuning off."""
        import tensorflow as tf

        x, y, size = tf.constant(self.x), tf.constant(self.y), self.batch

        def cut(step: Any) -> tuple[Any, Any]:
            rows = step * size + tf.range(size, dtype=step.dtype)  # whose number is known when the step is traced
            return tf.gather(x, rows), tf.gather(y, rows)

        options = tf.data.Options()
        options.autotune.enabled = False
        return tf.data.Dataset.range(EPOCH).map(cut).prefetch(2).with_options(options)


def compiled(model: Any, options: Mapping[str, Any]) -> Any:
    """Ready for integer labels of logits."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], **options)
    return model


def cnn(**options: Any) -> Any:
    """Two convolutions on 28 x 28 pixels."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu", name="conv1"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu", name="conv2"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(64, activation="relu"),
            layers.Dense(CLASSES),
        ]
    )
    return compiled(model, options)


def mlp(**options: Any) -> Any:
    """Three dense layers on 784 features."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((784,)),
            layers.Dense(512, activation="relu", name="hidden1"),
            layers.Dense(512, activation="relu", name="hidden2"),
            layers.Dense(CLASSES),
        ]
    )
    return compiled(model, options)


def transformer(**options: Any) -> Any:
    """Two blocks of attention of width 64 on 32 tokens."""
    layers = keras.layers
    tokens = keras.Input((32,), dtype="int32")
    x = layers.Embedding(1_000, 64)(tokens)
    for block in (1, 2):
        seen = layers.MultiHeadAttention(4, 16, name=f"attention{block}")(x, x)
        x = layers.LayerNormalization()(x + layers.Dropout(0.1)(seen))
        wide = layers.Dense(256, activation="gelu", name=f"wide{block}")(x)
        x = layers.LayerNormalization()(x + layers.Dropout(0.1)(layers.Dense(64, name=f"narrow{block}")(wide)))
    logits = layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(x))
    return compiled(keras.Model(tokens, logits), options)


def workload(name: str) -> Workload:
    """Values in which a class can be told; the time doesn't depend on them."""
    rng = np.random.default_rng(0)
    if name == "cnn":
        y = rng.integers(0, CLASSES, 64 * EPOCH)
        x = rng.random((CLASSES, 28, 28, 1), np.float32)[y] + rng.random((len(y), 28, 28, 1), np.float32)
        return Workload("CNN", cnn, x, y, 64, ("conv1",))
    if name == "mlp":
        y = rng.integers(0, CLASSES, 128 * EPOCH)
        x = rng.random((CLASSES, 784), np.float32)[y] + rng.random((len(y), 784), np.float32)
        return Workload("MLP", mlp, x, y, 128, ("hidden1", "hidden2"), inputs=True)
    y = rng.integers(0, CLASSES, 32 * EPOCH)
    tokens = (y[:, None] * 50 + rng.integers(0, 500, (len(y), 32))).astype(np.int32)
    return Workload("transformer", transformer, tokens, y, 32, ("wide*", "attention*", "narrow*"))


# --- the ways to train it ---------------------------------------------------------------------------


class PredictAtEpochEnd(keras.callbacks.Callback):  # type: ignore[misc]
    """Predictions of the training data, from the weights that an epoch ended with."""

    def __init__(self, work: Workload) -> None:
        super().__init__()
        self.work = work

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        data = self.work.data(self.params["steps"])
        data.pop("y", None)
        self.kept = self.model.predict(**data, verbose=0)


class ForwardAgain(keras.callbacks.Callback):  # type: ignore[misc]
    """Predictions of each batch, from a second forward pass after its step."""

    def __init__(self, work: Workload) -> None:
        super().__init__()
        self.work = work

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.kept: list[Any] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        rows = self.work.x[batch * self.work.batch : (batch + 1) * self.work.batch]
        self.kept.append(self.forward(rows))

    def forward(self, rows: Any) -> Any:
        """As most examples have it: the model is called."""
        return keras.ops.convert_to_numpy(self.model(rows, training=False))


class ForwardOnBatch(ForwardAgain):
    """The same by Keras' compiled function of a batch."""

    def forward(self, rows: Any) -> Any:
        return self.model.predict_on_batch(rows)


@dataclass(frozen=True)
class Way:
    """A way to train, the same on every workload.

    Attributes:
        title: What a reader calls it.
        aim: What its ratio to plain `fit` should not be above.
        taps: What a Recorder records of a workload; without, there is none.
        callback: A rival's callback.
        options: Of `compile`.
        rival: Whether it is what people do today: measured in every third repetition, and over fewer
            steps where it is slow.
    """

    title: str
    aim: float | None = None
    taps: Callable[[Workload], Any] | None = None
    callback: Callable[[Workload], Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    rival: bool = False


def outputs(work: Workload) -> list[Any]:
    """Every sample of every step."""
    return [tt.Outputs()]


def reduced(work: Workload) -> list[Any]:
    """Beside that, statistics of all layers and gradients."""
    return [
        tt.Outputs(),
        tt.Activations("*", reduce=["mean", "std", "zeros"], every=10),
        tt.Gradients("*", reduce=["norm", "nonfinite"], every=10),
    ]


def diagnose(work: Workload) -> str:
    """All that the rules of `run.diagnose()` need."""
    return "diagnose"


def raw(work: Workload) -> list[Any]:
    """What comes out of large layers, every value of every step."""
    return [tt.Activations(list(work.large)), *([tt.Inputs()] if work.inputs else [])]


WAYS = {
    "plain": Way("plain `fit`"),
    "outputs": Way("`Recorder(Outputs())`", aim=1.03, taps=outputs),
    "reduced": Way("`Outputs`, and statistics of all layers and gradients, every 10", aim=1.05, taps=reduced),
    "diagnose": Way('`Recorder(taps="diagnose")`', aim=1.05, taps=diagnose),
    "again": Way("plain again"),
    "raw": Way("raw activations, every step", taps=raw),
    "predict": Way("`predict` at each epoch's end", callback=PredictAtEpochEnd, rival=True),
    "on_batch": Way("`predict_on_batch` after each step", callback=ForwardOnBatch, rival=True),
    "forward": Way("`model(x)` after each step", callback=ForwardAgain, rival=True),
    "eager": Way("`run_eagerly=True`, keeping nothing", options={"run_eagerly": True}, rival=True),
}
