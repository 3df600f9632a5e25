"""Trainings on two devices of one process, which is set up before its backend starts: `… FOLDER`.

TensorFlow: `MirroredStrategy`; JAX: `keras.distribution.DataParallel`. What a test compares with is left in
FOLDER/found.json.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

BACKEND = os.environ["KERAS_BACKEND"]
if BACKEND == "jax":  # each of several processes has two as well
    os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    os.environ["NPROC"] = "8"  # XLA's threads: with as few as devices, a step that waits for the others never ends

import keras  # noqa: E402  after the flag
import numpy as np  # noqa: E402

import truetap as tt  # noqa: E402

TAPS = [
    tt.Outputs(),
    tt.Activations("hidden", reduce=["mean", "std", "max", "zeros"]),
    tt.Activations("hidden", reduce="mean", over="epoch"),
    tt.Activations("last", samples=6),
    tt.Gradients("*", reduce="norm"),
    tt.Gradients("hidden/kernel"),
    tt.ActivationGradients("hidden"),
    tt.Inputs(samples=5),
    tt.Weights("hidden/kernel", every=1),
    tt.Updates("hidden/kernel"),
]


def data(rows: int = 24) -> tuple[Any, Any]:
    x = np.random.default_rng(3).normal(size=(rows, 3)).astype("float32")
    return x, np.abs(x).sum(axis=1, keepdims=True)


def weights() -> list[Any]:
    draw = np.random.default_rng(5)
    return [draw.normal(size=shape).astype("float32") for shape in ((3, 4), (4,), (4, 1), (1,))]


def network(**options: Any) -> Any:
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4, activation="relu", name="hidden"), keras.layers.Dense(1, name="last")]
    )
    model.set_weights(weights())
    model.compile(keras.optimizers.SGD(0.05), "mse", metrics=["mae"], **options)
    return model


def deep() -> Any:
    """What meets the other replicas inside the forward pass: state of dropout, statistics, several losses."""
    x = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation="relu", name="hidden")(x)
    hidden = keras.layers.BatchNormalization(name="norm", synchronized=BACKEND == "tensorflow")(hidden)
    hidden = keras.layers.Dropout(0.3, seed=1, name="drop")(hidden)
    outputs = {"a": keras.layers.Dense(1, name="a")(hidden), "b": keras.layers.Dense(2, "softmax", name="b")(hidden)}
    model = keras.Model(x, outputs)
    draw = np.random.default_rng(7)
    model.set_weights([draw.normal(size=each.shape).astype(each.dtype) for each in model.get_weights()])
    loss = {"a": "mse", "b": "sparse_categorical_crossentropy"}
    model.compile(keras.optimizers.Adam(0.01, clipnorm=0.1), loss, metrics={"a": ["mae"]})
    return model


def devices() -> AbstractContextManager[Any]:
    if BACKEND == "jax":
        distribution: AbstractContextManager[Any] = keras.distribution.DataParallel().scope()
        return distribution
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    scope: AbstractContextManager[Any] = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()
    return scope


def fit(model: Any, x: Any, y: Any, callbacks: list[Any], **options: Any) -> dict[str, Any]:
    """The epochs' logs, and the weights."""
    history = model.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=callbacks, **options)
    return {"history": history.history, "weights": [each.tolist() for each in model.get_weights()]}


def main(folder: Path) -> None:
    found: dict[str, Any] = {}
    x, y = data()
    with devices():
        options: dict[str, Any] = {"epochs": 2, "validation_data": (x[:16], y[:16])}
        found["plain"] = fit(network(), x, y, [], **options)
        model = network()
        with tt.Recorder(folder / "run", TAPS, on_error="raise") as recorder:
            found["recorded"] = fit(model, x, y, [recorder], **options)
            found["evaluated"] = model.evaluate(x, y, batch_size=8, verbose=0, callbacks=[recorder])
            found["predicted"] = model.predict(x, batch_size=8, verbose=0, callbacks=[recorder]).tolist()
        labels = {"a": y, "b": (y[:, 0] > 2).astype("int32")}
        found["deep plain"] = fit(deep(), x, labels, [], epochs=2)
        with tt.Recorder(folder / "deep", [tt.Outputs(), tt.Activations("*", reduce="mean")]) as recorder:
            found["deep recorded"] = fit(deep(), x, labels, [recorder], epochs=2)
        odd_or_several(folder, found)
    (folder / "found.json").write_text(json.dumps(found))


def odd_or_several(folder: Path, found: dict[str, Any]) -> None:
    """On TensorFlow a last batch of 3 and 2 samples, one of 1 and 0; where Keras can, several steps of an execution."""
    x, y = data(21 if BACKEND == "tensorflow" else 24)
    several = network(steps_per_execution=2)
    with tt.Recorder(folder / "several", on_error="raise") as recorder:
        if BACKEND == "tensorflow":
            found["odd"] = fit(network(), x, y, [recorder])
            found["one more"] = fit(network(), x[:17], y[:17], [recorder])
        else:
            found["several"] = fit(several, x, y, [recorder])
        found["several evaluated"] = several.evaluate(x, y, batch_size=8, verbose=0, callbacks=[recorder])
        several.predict(x, batch_size=8, verbose=0, callbacks=[recorder])
    if BACKEND == "tensorflow":
        found["refused"] = []
        for refused in (several, network(jit_compile=True)):
            try:
                refused.fit(x[:16], y[:16], verbose=0, callbacks=[tt.Recorder(folder / "refused", resume=True)])
            except tt.ModelError as error:
                found["refused"].append(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
