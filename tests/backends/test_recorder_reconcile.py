"""The mean of the recorded losses is the loss Keras reports: of each batch, and of the epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers, ops

import truetap as tt
from tests.backends.models import BACKEND
from tests.backends.recorded import rows, step
from truetap.store import RunReader

Array = npt.NDArray[Any]

RNG = np.random.default_rng(9)
N, BATCH, T = 20, 8, 5  # batches of 8, 8 and 4
X = RNG.normal(size=(N, 4)).astype("float32")
Y = RNG.normal(size=(N, 1)).astype("float32")
CLASSES = RNG.integers(0, 3, N)
WEIGHT = RNG.uniform(0.2, 3, N).astype("float32")
WORDS = np.where(np.arange(T) < RNG.integers(1, T + 1, (N, 1)), RNG.integers(1, 9, (N, T)), 0)
TAGS = RNG.normal(size=(N, T, 2)).astype("float32")
STEPS_WEIGHT = RNG.uniform(0.2, 3, (N, T)).astype("float32")
CLOSE: dict[str, Any] = {"rtol": 2e-5, "atol": 1e-6}


class Squares(keras.losses.Loss):  # type: ignore[misc]
    """A loss of the user's own class."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.square(y_pred - y_true), axis=-1)


def squares(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_pred - y_true), axis=-1)


def dense(**compiled: Any) -> Any:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile(**({"loss": "mse", "optimizer": keras.optimizers.SGD(0.05)} | compiled))
    return model


def classes() -> Any:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy")
    return model


def words() -> Any:
    inputs = keras.Input((T,), dtype="int32")
    x = layers.LSTM(3, return_sequences=True)(layers.Embedding(9, 3, mask_zero=True)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(x))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def masking(**compiled: Any) -> Any:
    model = keras.Sequential([keras.Input((T, 2)), layers.Masking(), layers.Dense(2)])
    model.compile(**({"loss": "mae", "optimizer": keras.optimizers.SGD(0.05)} | compiled))
    return model


def heads(outputs: str = "dict", **compiled: Any) -> Any:
    inputs = keras.Input((4,))
    found = [layers.Dense(size, name=name)(inputs) for name, size in (("z", 1), ("a", 2))]
    model = keras.Model(inputs, {"z": found[0], "a": found[1]} if outputs == "dict" else found)
    model.compile(optimizer=keras.optimizers.SGD(0.05), **compiled)
    return model


SEQUENCES = (TAGS * (np.arange(T) < RNG.integers(1, T + 1, (N, 1)))[..., None]).astype("float32")
TWO = {"z": Y, "a": RNG.normal(size=(N, 2)).astype("float32")}
LISTED = [TWO["z"], TWO["a"]]


def case(model: Any, x: Any = X, y: Any = Y, **options: Any) -> Any:
    return model, x, y, options


CASES: dict[str, Any] = {
    "mse": lambda: case(dense()),
    "a function": lambda: case(dense(loss=squares)),
    "an object": lambda: case(dense(loss=keras.losses.Huber())),
    "a class of the user's": lambda: case(dense(loss=Squares())),
    "reduction sum": lambda: case(dense(loss=Squares(reduction="sum"))),
    "reduction sum, weighted": lambda: case(dense(loss=Squares(reduction="sum")), sample_weight=WEIGHT),
    "reduction by weights": lambda: case(
        dense(loss=Squares(reduction="mean_with_sample_weight")), sample_weight=WEIGHT
    ),
    "sample_weight": lambda: case(dense(), sample_weight=WEIGHT),
    "class_weight": lambda: case(classes(), y=CLASSES, class_weight={0: 1.0, 1: 5.0, 2: 0.5}),
    "masked words": lambda: case(words(), WORDS, TAGS),
    "masked words, weighted samples": lambda: case(words(), WORDS, TAGS, sample_weight=WEIGHT[:, None]),
    "masked words, weighted steps": lambda: case(words(), WORDS, TAGS, sample_weight=STEPS_WEIGHT),
    "Masking": lambda: case(masking(), SEQUENCES, TAGS),
    "Masking, reduction by weights": lambda: case(
        masking(loss=keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")),
        SEQUENCES,
        TAGS,
        sample_weight=STEPS_WEIGHT,
    ),
    "ignore_class": lambda: case(dense_ignoring(), y=np.where(CLASSES == 2, -1, CLASSES)),
    "two outputs": lambda: case(heads(loss="mse"), y=TWO),
    "two outputs, loss_weights by name": lambda: case(
        heads(loss={"z": "mse", "a": "mae"}, loss_weights={"z": 0.3, "a": 2.0}), y=TWO
    ),
    "two outputs as a list, loss_weights as a list": lambda: case(
        heads("list", loss=["mse", "mae"], loss_weights=[0.3, 2.0]), y=LISTED
    ),
    "two outputs, weights of each": lambda: case(
        heads(loss="mse"), y=TWO, sample_weight={"z": WEIGHT, "a": WEIGHT[::-1].copy()}
    ),
    "an output without a loss": lambda: case(heads("list", loss=["mse", None]), y=LISTED),
    "two losses of one output": lambda: case(heads(loss={"z": ["mse", "mae"], "a": "mse"}), y=TWO),
}


if BACKEND == "torch":  # Keras masks weights in place there, and can't broadcast them
    del CASES["masked words, weighted samples"]


def dense_ignoring() -> Any:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.05), keras.losses.SparseCategoricalCrossentropy(ignore_class=-1))
    return model


def shares(samples: dict[str, list[Any]], number: int) -> Array:
    return step(samples, number, "weighted_loss" if "weighted_loss" in samples else "loss").astype(np.float64)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("name", CASES)
def test_batches_and_epochs(tmp_path: Path, name: str) -> None:
    model, x, y, options = CASES[name]()
    recorder = tt.Recorder(tmp_path / "run")
    history = model.fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0, callbacks=[recorder], **options)
    samples, scalars = rows(tmp_path / "run", "samples"), rows(tmp_path / "run", "scalars")
    means = np.asarray([shares(samples, number).mean() for number in range(6)])
    sizes = np.asarray(scalars["samples"])
    assert sizes.tolist() == [8, 8, 4] * 2
    np.testing.assert_allclose(scalars["loss"], means, **CLOSE)
    running = [np.average(means[e : e + k], weights=sizes[e : e + k]) for e in (0, 3) for k in (1, 2, 3)]
    np.testing.assert_allclose(scalars["running/loss"], running, **CLOSE)
    np.testing.assert_allclose(history.history["loss"], running[2::3], **CLOSE)
    assert len(set(np.round(means, 7))) == 6
    if "sample_weight" in options and not isinstance(options["sample_weight"], dict):
        np.testing.assert_allclose(step(samples, 2, "sample_weight"), options["sample_weight"][2 * BATCH :])


@pytest.mark.parametrize("name", ["sample_weight", "class_weight", "masked words, weighted steps", "two outputs"])
def test_train_on_batch(tmp_path: Path, name: str) -> None:
    model, x, y, options = CASES[name]()
    recorder = tt.Recorder(tmp_path / "run")
    said = []
    with recorder.attach(model):
        for start in range(0, N, BATCH):
            at = slice(start, start + BATCH)
            given = {key: value[at] if isinstance(value, np.ndarray) else value for key, value in options.items()}
            batch = keras.tree.map_structure(lambda value, at=at: value[at], (x, y))
            model.reset_metrics()  # Keras 3.14 and older go on counting
            said.append(model.train_on_batch(*batch, return_dict=True, **given)["loss"])
    samples = rows(tmp_path / "run", "samples")
    means = [shares(samples, number).mean() for number in range(3)]
    np.testing.assert_allclose(np.asarray(said, float), means, **CLOSE)


def test_losses_of_samples_by_hand(tmp_path: Path) -> None:
    """What the columns mean: `loss` without weights over valid steps, `weighted_loss` its share."""
    model = words()
    recorder = tt.Recorder(tmp_path / "run")
    model.fit(WORDS, TAGS, sample_weight=STEPS_WEIGHT, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[recorder])
    samples = rows(tmp_path / "run", "samples")
    for number in range(3):
        y_true, y_pred, mask = (step(samples, number, name) for name in ("y_true", "y_pred", "mask"))
        np.testing.assert_array_equal(mask, WORDS[number * BATCH : (number + 1) * BATCH] != 0)
        each = ((y_true - y_pred) ** 2).mean(-1)
        np.testing.assert_allclose(step(samples, number, "loss"), (each * mask).sum(1) / mask.sum(1), **CLOSE)
        factor = step(samples, number, "sample_weight") * mask * (mask.size / mask.sum())
        np.testing.assert_allclose(step(samples, number, "weighted_loss"), (each * factor).mean(1), **CLOSE)


def test_losses_of_outputs_by_hand(tmp_path: Path) -> None:
    model = heads(loss={"z": "mse", "a": "mae"}, loss_weights={"z": 0.3, "a": 2.0})
    recorder = tt.Recorder(tmp_path / "run")
    model.fit(X, TWO, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[recorder])
    found = {name: np.asarray(values) for name, values in rows(tmp_path / "run", "samples").items()}
    z = ((found["y_pred/z"] - found["y_true/z"]) ** 2).mean(-1)
    a = np.abs(found["y_pred/a"] - found["y_true/a"]).mean(-1)
    np.testing.assert_array_equal(found["y_true/z"], TWO["z"])
    np.testing.assert_array_equal(found["y_true/a"], TWO["a"])
    np.testing.assert_allclose(found["loss/z"], z, **CLOSE)
    np.testing.assert_allclose(found["loss/a"], a, **CLOSE)
    np.testing.assert_allclose(found["loss"], 0.3 * z + 2 * a, **CLOSE)
    assert "weighted_loss" not in found


class Penalised(layers.Layer):  # type: ignore[misc]
    def call(self, x: Any) -> Any:
        self.add_loss(0.1 * ops.mean(ops.square(x)))
        return x


def test_penalties_are_in_the_loss_of_the_step_alone(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    x = Penalised(name="penalised")(inputs)
    model = keras.Model(inputs, layers.Dense(1, name="head", kernel_regularizer=keras.regularizers.L2(0.5))(x))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    taps = [tt.Outputs(), tt.Weights("head/kernel", every=1)]
    kernel = np.array(model.get_layer("head").kernel)
    model.fit(X, Y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[tt.Recorder(tmp_path / "run", taps)])
    samples, scalars = rows(tmp_path / "run", "samples"), rows(tmp_path / "run", "scalars")
    weights = rows(tmp_path / "run", "weights.head.kernel")
    for number in range(3):
        x = X[number * BATCH : (number + 1) * BATCH]
        y_true, y_pred = step(samples, number, "y_true"), step(samples, number, "y_pred")
        np.testing.assert_allclose(step(samples, number, "loss"), ((y_true - y_pred) ** 2)[:, 0], **CLOSE)
        penalties = 0.1 * (x**2).mean() + 0.5 * (kernel**2).sum()
        total = ((y_true - y_pred) ** 2).mean() + penalties
        assert scalars["loss"][number] == pytest.approx(total, rel=1e-5)
        kernel = step(weights, number, "values")[0]


class Doubles(keras.Model):  # type: ignore[misc]
    """An own `compute_loss` that goes on from Keras'."""

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, **more: Any
    ) -> Any:
        return 2 * super().compute_loss(x, y, y_pred, sample_weight, **more) + 1


class Own(keras.Model):  # type: ignore[misc]
    """An own `compute_loss` that leaves the compiled loss out."""

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, **more: Any
    ) -> Any:
        return ops.mean(ops.abs(y - y_pred))


def test_compute_loss_that_calls_supers(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    model = Doubles(inputs, layers.Dense(1)(inputs))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    model.fit(X, Y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[tt.Recorder(tmp_path / "run")])
    samples, scalars = rows(tmp_path / "run", "samples"), rows(tmp_path / "run", "scalars")
    for number in range(3):
        error = step(samples, number, "y_true") - step(samples, number, "y_pred")
        np.testing.assert_allclose(step(samples, number, "loss"), (error**2)[:, 0], **CLOSE)
        assert scalars["loss"][number] == pytest.approx(2 * (error**2).mean() + 1, rel=1e-5)


def test_compute_loss_without_the_compiled_loss(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    model = Own(inputs, layers.Dense(1)(inputs))
    model.compile(keras.optimizers.SGD(0.05), "mse")
    with pytest.warns(tt.RecordingWarning, match="no loss per sample"):
        model.fit(X, Y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[tt.Recorder(tmp_path / "run")])
    samples, scalars = rows(tmp_path / "run", "samples"), rows(tmp_path / "run", "scalars")
    assert not [name for name in samples if "loss" in name]
    for number in range(3):
        error = step(samples, number, "y_true") - step(samples, number, "y_pred")
        assert scalars["loss"][number] == pytest.approx(np.abs(error).mean(), rel=1e-5)


def scalar_loss(y_true: Any, y_pred: Any) -> Any:
    return ops.mean(ops.square(y_pred - y_true))


def test_a_loss_without_a_value_per_sample(tmp_path: Path) -> None:
    model = dense(loss=scalar_loss)
    with pytest.warns(tt.RecordingWarning, match=r"reduces the batch itself.*axis=-1"):
        model.fit(X, Y, batch_size=BATCH, shuffle=False, verbose=0, callbacks=[tt.Recorder(tmp_path / "run")])
    samples, scalars = rows(tmp_path / "run", "samples"), rows(tmp_path / "run", "scalars")
    assert "loss" not in samples
    assert scalars["loss"][0] == pytest.approx(((np.asarray(samples["y_pred"]) - Y)[:8] ** 2).mean(), rel=1e-5)


def test_validation_and_evaluate(tmp_path: Path) -> None:
    model = dense()
    recorder = tt.Recorder(tmp_path / "run")
    validation = (X[:12], Y[:12], WEIGHT[:12])
    history = model.fit(X, Y, batch_size=BATCH, validation_data=validation, verbose=0, callbacks=[recorder])
    said = model.evaluate(X, Y, sample_weight=WEIGHT, batch_size=BATCH, verbose=0, callbacks=[recorder])
    for phase, reported in (("val", history.history["val_loss"][0]), ("test", said)):
        samples, scalars = (rows(tmp_path / "run", name, phase) for name in ("samples", "scalars"))
        means = [shares(samples, number).mean() for number in sorted(set(samples["step"]))]
        np.testing.assert_allclose(scalars["loss"], means, **CLOSE)
        assert reported == pytest.approx(np.average(means, weights=scalars["samples"]), rel=1e-5)
        np.testing.assert_allclose(samples["sample_weight"], WEIGHT[: len(samples["step"])])


def test_sequences_of_varying_length_keep_their_own(tmp_path: Path) -> None:
    """Steps that are written together are not padded to one length."""
    model = keras.Sequential([keras.Input((None, 2)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    lengths = [3, 5, 3, 4]
    recorder = tt.Recorder(tmp_path / "run")
    with recorder.attach(model):
        for length in lengths:
            model.test_on_batch(np.ones((2, length, 2), "float32"), np.ones((2, length, 1), "float32"))
    columns = [batch.column("y_pred") for batch in RunReader(tmp_path / "run").batches("samples")]
    written = [getattr(column, "storage", column) for column in columns]  # older Arrow doesn't know the type
    shapes = [shape for column in written for shape in column.field("shape").to_pylist()]
    assert shapes == [[length, 1] for length in lengths for _ in range(2)]
    assert "30 valid positions" in str(tt.open(tmp_path / "run").samples().evaluate())  # 2 * (3 + 5 + 3 + 4)
