"""Problems of losses in `fit` (part D, from D12 on): several outputs, weights, metrics, steps of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import truetap as tt
from tests.backends import problem_losses as written
from tests.backends.loops import HandWritten
from tests.backends.loops_by_hand import Hand, right
from tests.backends.losses import close
from tests.backends.models import BACKEND, collect
from tests.backends.problem_losses import EIGHT, RNG, Array, evaluated, found, gives_back
from truetap.rules.finding import Severity

# --- D12: the order of outputs -----------------------------------------------------------------------


def test_d12_labels_as_a_list_for_outputs_by_name(tmp_path: Path) -> None:
    inputs = keras.Input((1,))
    model = keras.Model(inputs, {"z": layers.Identity()(inputs), "a": layers.Rescaling(-1.0)(inputs)})
    model.compile(loss={"z": "mse", "a": "mse"})
    x = EIGHT[:, None]
    recorder = tt.Recorder(tmp_path / "run")
    by_name, as_list = {"a": -x, "z": x}, [x, -x]
    assert evaluated(model, x, by_name) == 0
    with pytest.warns(tt.RecordingWarning, match=r"sorted order of the keys, \['a', 'z'\]"):
        logs = model.evaluate(x, as_list, batch_size=8, verbose=0, return_dict=True, callbacks=[recorder])
    assert logs["loss"] == 140  # matched in sorted order: a with the labels of z
    run = tt.open(tmp_path / "run").samples("test")  # what the loss really got
    np.testing.assert_array_equal(run.y_true["a"], x)
    assert run.loss is not None
    assert run.loss.mean() == 140
    with pytest.warns(tt.DataWarning, match=r"declared order \['z', 'a'\]"):
        samples = collect(model, (x, as_list))
    assert samples.output_names == run.output_names == ("z", "a")
    assert samples.loss.mean() == 0
    assert found("mse", run["a"].y_true, run["a"].y_pred) == {}  # the loss is right, its labels aren't


# --- D13: class weights ------------------------------------------------------------------------------


CLASS_WEIGHT = {0: 1.0, 1: 10.0, 2: 4.0}
TABLE = np.array([1.0, 10.0, 4.0])
OF_SHAPES = (tf.errors.InvalidArgumentError, ValueError, RuntimeError)  # of TensorFlow, JAX, torch


def entropy(labels: Array, logits: Array) -> Array:
    chosen = np.take_along_axis(logits, labels[..., None], -1)[..., 0]
    return np.asarray(np.log(np.exp(logits).sum(-1)) - chosen)


def weighted_by_keras(loss: Any, logits: Array, labels: Array) -> Any:
    """The loss of `fit` with Keras' own `class_weight`."""
    model = gives_back(logits.shape[1:], loss)
    return model.fit(logits, labels, class_weight=CLASS_WEIGHT, shuffle=False, verbose=0).history["loss"]


@pytest.mark.parametrize("shape", [(3, 3), (4, 5), (2, 4, 3)], ids=["tags, T == N", "tags", "segmentation"])
def test_d13_class_weights_of_tags_and_pixels(shape: tuple[int, ...]) -> None:
    labels = RNG.integers(0, 3, shape)
    logits = RNG.normal(size=(*shape, 3)).astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    each = entropy(labels, logits)
    if shape == (3, 3):  # no error: as class of a sample it takes the argmax over time, and weighs steps with it
        wrong = (each * TABLE[labels.argmax(axis=1)][None, :]).mean()
        assert weighted_by_keras(loss, logits, labels) == close([wrong])
    elif shape == (4, 5):
        with pytest.raises(OF_SHAPES, match=r"(?i)incompatible shapes|must match the size"):
            weighted_by_keras(loss, logits, labels)
    else:
        with pytest.raises(TypeError, match="only 0-dimensional arrays"):
            weighted_by_keras(loss, logits, labels)
    model = gives_back((*shape[1:], 3), tt.losses.ClassWeighted(loss, CLASS_WEIGHT))
    assert model.fit(logits, labels, verbose=0).history["loss"] == close([(each * TABLE[labels]).mean()])


def test_d13_class_weights_of_several_labels() -> None:
    labels, logits = np.array([[1, 1, 0], [0, 0, 1]], "float32"), RNG.normal(size=(2, 3)).astype("float32")
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    each = np.log1p(np.exp(logits)) - labels * logits
    by_argmax = (each.mean(axis=1) * TABLE[labels.argmax(axis=1)]).mean()
    assert weighted_by_keras(loss, logits, labels) == close([by_argmax])  # the other label doesn't count
    weighted = tt.losses.ClassWeighted(loss, CLASS_WEIGHT, labels="multilabel")
    assert evaluated(gives_back((3,), weighted), logits, labels) == close((each * TABLE).mean())


def test_d13_class_weights_of_one_of_several_outputs() -> None:
    inputs = keras.Input((3,))
    model = keras.Model(inputs, {"tag": layers.Dense(3, kernel_initializer="identity")(inputs), "size": inputs[:, :1]})
    logits, labels = RNG.normal(size=(8, 3)).astype("float32"), RNG.integers(0, 3, 8)
    y = {"tag": labels, "size": EIGHT}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), {"tag": loss, "size": "mse"})
    with pytest.raises(ValueError, match="class_weight"):
        model.fit(logits, y, class_weight=CLASS_WEIGHT, verbose=0)
    model.compile(keras.optimizers.SGD(0.0), {"tag": tt.losses.ClassWeighted(loss, CLASS_WEIGHT), "size": "mse"})
    expected = (entropy(labels, logits) * TABLE[labels]).mean() + ((EIGHT - logits[:, 0]) ** 2).mean()
    assert evaluated(model, logits, y) == close(expected)


# --- D14, D15: where weights count -------------------------------------------------------------------


def weighted_mse(y_true: Array, y_pred: Array, sample_weight: Array) -> float:
    return float(np.average(np.square(y_true - y_pred)[:, 0], weights=sample_weight))


def test_d14_weighted_and_unweighted_for_both_splits(tmp_path: Path) -> None:
    x, y = RNG.normal(size=(2, 8, 1)).astype("float32")
    weight, other = RNG.uniform(0, 3, (2, 8)).astype("float32")
    callbacks = [
        tt.Recorder(tmp_path / "run"),
        tt.EpochLoss(normalize="weights"),
        tt.EpochMetric(weighted_mse, weighted=True),
    ]
    validation = {"validation_data": (y, x / 2, other), "validation_batch_size": 3}
    options: dict[str, Any] = {"batch_size": 3, "shuffle": False, "verbose": 0, "callbacks": callbacks} | validation
    logs = gives_back(metrics=["mse"]).fit(x, y, sample_weight=weight, **options).history
    run = tt.open(tmp_path / "run")
    splits = {"": ("train", ((x - y) ** 2)[:, 0], weight), "val_": ("val", ((y - x / 2) ** 2)[:, 0], other)}
    for prefix, (phase, errors, used) in splits.items():
        samples: Any = run.samples(phase)
        np.testing.assert_array_equal(samples.sample_weight, used)
        np.testing.assert_allclose(samples.loss, errors, rtol=1e-5)
        np.testing.assert_allclose(samples.weighted_loss, used * errors, rtol=1e-5)
        assert logs[f"{prefix}loss"] == close([(used * errors).mean()])
        assert logs[f"{prefix}mse"] == close([errors.mean()])  # of metrics=, which gets no weights
        by_weights = (used * errors).sum() / used.sum()
        assert logs[f"{prefix}epoch_loss"] == logs[f"{prefix}weighted_mse"] == close([by_weights])


def test_d14_class_weights_count_in_validation_too(tmp_path: Path) -> None:
    logits, labels = RNG.normal(size=(8, 3)).astype("float32"), RNG.integers(0, 3, 8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain = entropy(labels, logits)
    data: dict[str, Any] = {"x": logits, "y": labels, "validation_data": (logits, labels), "verbose": 0}
    recorder = tt.Recorder(tmp_path / "run")
    logs = gives_back((3,), loss).fit(**data, class_weight=CLASS_WEIGHT, callbacks=[recorder]).history
    weighted = (plain * TABLE[labels]).mean()
    assert (logs["loss"], logs["val_loss"]) == (close([weighted]), close([plain.mean()]))  # not to be compared
    run = tt.open(tmp_path / "run")
    for phase in ("train", "val"):  # these are
        samples: Any = run.samples(phase)
        assert samples.loss.mean() == close(plain.mean())
    logs = gives_back((3,), tt.losses.ClassWeighted(loss, CLASS_WEIGHT)).fit(**data).history
    assert (logs["loss"], logs["val_loss"]) == (close([weighted]), close([weighted]))


@pytest.mark.parametrize("steps", [3, 4], ids=["T == N", "T > N"])
def test_d15_weights_of_elements(steps: int) -> None:
    y = RNG.normal(size=(3, steps)).astype("float32")
    x, weight = y.copy(), np.ones((3, steps), "float32")
    x[1, 1] += np.sqrt(6)  # the only wrong element
    weight[1, 1] = 0
    if steps == 3:
        by_sample = np.square(x - y).mean(axis=1)
        assert evaluated(gives_back((3,)), x, y, weight) == close((weight * by_sample[None, :]).mean())  # no error
    assert found("mse", y, x, sample_weight=weight) == {"weights_shape": Severity.ERROR}
    of_elements = tt.losses.Masked("mse")
    assert evaluated(gives_back((steps,), of_elements), x, y, weight) == 0
    assert evaluated(gives_back((steps,), of_elements), x, y, 2 - weight) == close(2 * 6 / (3 * steps))
    assert found(of_elements, y, x, sample_weight=weight) == {}


# --- D16, D17: no gradient, no batch axis ------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "rule", "words"),
    [
        (written.f1_of_rounded, "no_gradient", "it ends at round"),
        (written.by_argmax, "no_gradient", "it ends at argmax"),
        (written.in_numpy, "value_in_python", "NumPy"),
    ],
)
def test_d16_no_gradient_is_named_alike_on_every_backend(loss: Any, rule: str, words: str) -> None:
    y = np.eye(3, dtype="float32")[RNG.integers(0, 3, 8)]
    report = tt.check_loss(loss, y, RNG.random((8, 3)).astype("float32"))
    assert [(each.rule, each.severity) for each in report.findings] == [(rule, Severity.ERROR)]
    with pytest.raises(tt.LossError, match=words):
        report.raise_if_wrong()


def test_d16_weights_that_never_move(tmp_path: Path) -> None:
    model = gives_back((3,), written.f1_of_rounded, optimizer=keras.optimizers.SGD(1.0))
    y, x = RNG.integers(0, 2, (8, 3)), RNG.random((8, 3)).astype("float32")
    recorder = tt.Recorder(tmp_path / "run", [tt.Gradients()])
    if BACKEND == "tensorflow":
        with pytest.raises(ValueError, match="No gradients provided"):
            model.fit(x, y, verbose=0, callbacks=[recorder])
        return
    model.fit(x, y, verbose=0, callbacks=[recorder])  # without a word
    np.testing.assert_array_equal(model.get_weights()[0], np.eye(3))
    np.testing.assert_array_equal(tt.open(tmp_path / "run").gradients["head/kernel"].values, 0)


def test_d17_sizes_of_the_batch_in_a_loss() -> None:
    y, x = RNG.normal(size=(2, 8, 2)).astype("float32")
    assert found(written.of_batches_of_8, y, x) == {"partial_batch": Severity.ERROR}
    named = {"unknown_batch": Severity.ERROR, "batch_statistics": Severity.WARNING}
    assert found(written.over_static_batch, y, x) == named
    static = gives_back((2,), written.over_static_batch)
    if BACKEND == "tensorflow":
        with pytest.raises((TypeError, ValueError), match="None"):
            evaluated(static, x, y, batch_size=3)
    else:  # runs, and counts the last batch of 2 otherwise
        assert evaluated(static, x, y, batch_size=3) != close(evaluated(static, x, y, batch_size=8))
    assert found(written.squared, y, x) == {}
    assert evaluated(gives_back((2,), written.squared), x, y, batch_size=3) == close(((x - y) ** 2).mean())


# --- D18: metrics ------------------------------------------------------------------------------------


def test_d18_a_metric_of_labels_of_another_rank(tmp_path: Path) -> None:
    model = gives_back(metrics=[written.my_accuracy])
    metric = tt.EpochMetric(lambda y_true, y_pred: np.mean(y_true == np.round(y_pred)), name="accuracy")
    recorder = tt.Recorder(tmp_path / "run")
    logs = model.evaluate(
        EIGHT[:, None], EIGHT, batch_size=8, verbose=0, return_dict=True, callbacks=[recorder, metric]
    )
    assert logs["my_accuracy"] == 0.125  # each label against each output
    assert metric.results["accuracy"] == 1
    samples: Any = tt.open(tmp_path / "run").samples("test")
    assert samples.y_true.shape == samples.y_pred.shape == (8, 1)
    (note,) = (
        each for each in tt.check_loss(written.my_accuracy, EIGHT, EIGHT[:, None]).findings if each.where == "y_true"
    )
    assert note.rule == "implicit_broadcast"
    assert "(loss 1); called by hand it gives 0.125" in note.seen


# --- D19: a step of one's own ------------------------------------------------------------------------


def test_d19_a_train_step_that_drops_the_weights(tmp_path: Path) -> None:
    x, weight = RNG.normal(size=(8, 3)).astype("float32"), RNG.uniform(0, 3, 8).astype("float32")
    errors = (x.sum(axis=1) - EIGHT) ** 2
    model = written.DropsWeights([keras.Input((3,)), layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    recorder = tt.Recorder(tmp_path / "run")
    options: dict[str, Any] = {"batch_size": 8, "shuffle": False, "verbose": 0, "callbacks": [recorder]}
    with pytest.warns(tt.RecordingWarning, match="The data hold sample weights.*gave none to compute_loss"):
        assert model.fit(x, EIGHT, sample_weight=weight, **options).history["loss"] == close([errors.mean()])
    samples: Any = tt.open(tmp_path / "run").samples("train")
    assert samples.sample_weight is None  # what the loss got, not what fit was given
    np.testing.assert_allclose(samples.loss, errors, rtol=1e-5)

    agreement = tt.compare_with_fit(model, model.train_step, (x, EIGHT, weight))
    assert [each.rule for each in agreement.findings] == ["sample_weight"]
    again = (x @ model.get_weights()[0])[:, 0] - EIGHT
    assert agreement.loss_fit == close((weight * again**2).mean())
    assert agreement.loss_loop == close((again**2).mean())


def test_d19_weights_in_a_loop_of_ones_own(tmp_path: Path) -> None:
    x, y = RNG.normal(size=(2, 8, 1)).astype("float32")
    weight = RNG.uniform(0, 3, 8).astype("float32")
    model = gives_back()
    assert tt.compare_with_fit(model, Hand(model, right).step(), (x, y, weight))
    with tt.Recorder(tmp_path / "run") as recorder:
        HandWritten(model, recorder).train(lambda: [(x, y, weight)], epochs=1)
    run = tt.open(tmp_path / "run")
    samples: Any = run.samples("train")
    errors = ((x - y) ** 2)[:, 0]
    np.testing.assert_array_equal(samples.sample_weight, weight)
    np.testing.assert_allclose(samples.loss, errors, rtol=1e-5)
    assert samples.weighted_loss.mean() == close((weight * errors).mean())


# --- D20: ragged labels ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Converting sparse IndexedSlices:UserWarning")  # TensorFlow, of no gradient here
def test_d20_labels_whose_number_varies() -> None:
    x = np.zeros((2, 2), "float32")
    ragged = tf.ragged.constant([[2.0], [2.0, 2.0]])
    samples = collect(gives_back((2,)), tf.data.Dataset.from_tensor_slices((x, ragged)).batch(2))
    np.testing.assert_array_equal(samples.loss, [4.0, 4.0])
    assert samples.evaluate()["mse"] == 4
    assert [row.tolist() for row in tt.ground_truth((x, ragged))] == [[2.0], [2.0, 2.0]]
    with_zeros = np.array([[2.0, 0.0], [2.0, 2.0]], "float32")
    assert evaluated(gives_back((2,)), x, with_zeros) == 3  # padding counts
    marked = np.array([[2.0, -1.0], [2.0, 2.0]], "float32")
    assert evaluated(gives_back((2,), tt.losses.Masked("mse", mask_value=-1)), x, marked) == 4
