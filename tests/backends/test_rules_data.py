"""The rules on data: each on a small training that has the mistake, and on one that nearly has."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers

import truetap as tt
from truetap.diagnosis.rules import RULES
from truetap.diagnosis.rules.early_stopping_wrong_way import direction
from truetap.rules.finding import Finding

Array = npt.NDArray[Any]

CLASSES = 4
CENTRES = np.random.default_rng(1).normal(size=(CLASSES, 6)) * 3
BY_NAME = {rule.name: rule for rule in RULES}
EARLY = tt.Inputs(samples=200, epochs=(0,), phases=("train", "val"))
GRADIENTS = tt.Gradients("*", reduce=("norm", "nonfinite"), every=1)
LAYERS = tt.Activations(
    "*", reduce=("mean", "std", "near_one", "near_zero", "nonfinite"), steps=(0,), phases=("train",)
)


def table(rows: int = 320, seed: int = 0, spread: float = 0.8) -> tuple[Array, Array]:
    """Four clouds in six dimensions, mixed: (rows, 6), classes 0 to 3."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, CLASSES, rows)
    return (CENTRES[y] / 3 + rng.normal(0, spread / 3, (rows, 6))).astype("float32"), y


def curve(rows: int = 240, seed: int = 0) -> tuple[Array, Array]:
    """Three features, and a number that follows them: (rows, 3), (rows, 1)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)).astype("float32")
    return x, (x @ np.array([[1.0], [-2.0], [0.5]]) + rng.normal(0, 0.1, (rows, 1))).astype("float32")


def pictures(rows: int = 160, seed: int = 0, channels: int = 1) -> tuple[Array, Array]:
    """Smooth blobs: (rows, 8, 8, channels), and in which half each is."""
    rng = np.random.default_rng(seed)
    at = rng.uniform(1.5, 5.5, (rows, 2, 1, 1))
    grid = np.mgrid[:8, :8][None]
    blob = np.exp(-((grid - at) ** 2).sum(1) / 6)[..., None] * rng.uniform(0.5, 1, (rows, 1, 1, channels))
    return blob.astype("float32"), (at[:, 0, 0, 0] > 3.5).astype("int64")


def sentences(rows: int = 200, seed: int = 0) -> tuple[Array, Array]:
    """Word numbers from 1 to 19 with 0 after their end, (rows, 10), and a tag of each word from 0 to 2."""
    rng = np.random.default_rng(seed)
    x = rng.integers(1, 20, (rows, 10))
    x[np.arange(10) >= rng.integers(2, 9, (rows, 1))] = 0
    return x.astype("int32"), x % 3


def classifier(shape: tuple[int, ...] = (6,), rate: float = 0.05, units: int = CLASSES, *first: Any) -> Any:
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input(shape), *first, layers.Flatten(), layers.Dense(units)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def regressor(rate: float = 0.05) -> Any:
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(rate), "mse")
    return model


def reader(mask: bool, *behind: Any) -> Any:
    keras.utils.set_random_seed(5)
    words = keras.Input((10,), dtype="int32")
    x = layers.Embedding(20, 6, mask_zero=mask)(words)
    for layer in behind:
        x = layer(x)
    model = keras.Model(words, x)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@dataclass
class Case:
    """A training, and what rules say of it: words of a finding; None: nothing, or a note."""

    rules: str
    words: str | None
    make: Callable[[], tuple[Any, Array, Array]]
    fit: dict[str, Any] = field(default_factory=dict)
    taps: tuple[Any, ...] = ()


def said(case: Case, path: Path) -> list[Finding]:
    model, x, y = case.make()
    recorder = tt.Recorder(path, taps=[tt.Outputs(), EARLY, *case.taps])
    options = {"epochs": 1, "batch_size": 40, "verbose": 0} | case.fit
    callbacks = [recorder, *options.pop("callbacks", [])]
    model.fit(x, y, callbacks=callbacks, **options)
    recorder.finish()
    report = tt.open(path).diagnose(rules=[BY_NAME[name] for name in case.rules.split()])
    assert not [why for why in report.skipped.values() if why.startswith("failed")]
    return list(report.wrong)


def plain(x: Array, y: Array, **options: Any) -> Callable[[], tuple[Any, Array, Array]]:
    return lambda: (classifier(x.shape[1:], **options), x, y)


def reading(mask: bool, *behind: Any) -> Callable[[], tuple[Any, Array, Array]]:
    answer = layers.Dense(3, activation="softmax")
    return lambda: (reader(mask, *behind, answer), WORDS[0], WORDS[1][:, 0] if behind else WORDS[1])


def topics() -> Callable[[], tuple[Any, Array, Array]]:
    """Each text is told by any of its words: a mean over padding loses nothing that is needed."""
    rng = np.random.default_rng(6)
    y = rng.integers(0, 3, 400)
    x = 1 + 6 * y[:, None] + rng.integers(0, 6, (400, 10))
    x[np.arange(10) >= rng.integers(2, 9, (400, 1))] = 0
    answer = layers.Dense(3, activation="softmax")

    def make() -> tuple[Any, Array, Array]:
        model = reader(False, layers.GlobalAveragePooling1D(), answer)
        model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
        return model, x.astype("int32"), y

    return make


def stop(monitor: str, **options: Any) -> dict[str, Any]:
    return {"callbacks": [keras.callbacks.EarlyStopping(monitor, **options)]}


RNG = np.random.default_rng(3)
X, Y = table()
VAL, VAL_Y = table(120, seed=9)
SORTED = np.argsort(Y, kind="stable")
RARE = np.concatenate([np.flatnonzero(Y != 3), np.flatnonzero(Y == 3)[:12]])
RARE = RARE[RNG.permutation(len(RARE))]
SEEN = np.concatenate([X[:60], VAL[:60]]), np.concatenate([Y[:60], VAL_Y[:60]])
HARDLY_SEEN = np.concatenate([X[:4], VAL]), np.concatenate([Y[:4], VAL_Y])
GONE = np.where(np.arange(320)[:, None] % 20 == 7, np.float32("nan"), X)
TWICE = np.concatenate([X, X[:32]])
MANY = table(1200, seed=4)
NOISE = np.where(RNG.random(1200) < 0.3, RNG.integers(0, CLASSES, 1200), MANY[1])
HALF_NOISE = np.where(RNG.random(320) < 0.5, Y, RNG.integers(0, CLASSES, 320))
OFTEN_BAD = np.where(RNG.random(320) < 0.45, (CLASSES - 1) - Y, Y)
FAULTS = (RNG.random(800) < 0.05).astype("int64")
FAULTY = (RNG.normal(size=(800, 3)) + 0.8 * FAULTS[:, None]).astype("float32")
WORDS = sentences()
LATE = curve()
BLOBS = pictures(channels=3)
LEVELS = RNG.normal(size=(160, 1, 1, 1)) + RNG.normal(0, 0.3, (160, 8, 8, 1))
EXP = np.exp(-np.linspace(0, 365, 320))
SOUND = (
    "nan_in_data train_validation_overlap constant_features not_shuffled validation_preprocessed_differently "
    "zero_sample_weights early_stopping_wrong_way conflicting_duplicates epochs_differ misaligned_labels"
)

LONGER = {"epochs": 3}

CASES = [
    Case("nan_in_data", "10 of 200 samples have NaN or infinity in the inputs", plain(GONE, Y), {"shuffle": False}),
    Case(
        "nan_in_data",  # of which TensorFlow's ReLU makes 0: outputs and losses are finite, gradients are not
        "makes the gradient of every weight NaN",
        lambda: (classifier((6,), 0.05, 4, layers.Dense(16, activation="relu")), GONE, Y),
        {"shuffle": False},
        (GRADIENTS,),
    ),
    Case("train_validation_overlap", "60 of 120 validation samples (50%)", plain(X, Y), {"validation_data": SEEN}),
    Case(
        "train_validation_overlap",
        None,
        plain(np.round(X[:, :2]), Y),
        {"validation_data": (np.round(VAL[:, :2]), VAL_Y)},
    ),
    Case("class_imbalance", "Class 1 of the output is", plain(FAULTY, FAULTS, units=2), {"epochs": 5}),
    Case(
        "class_imbalance inverted_class_weights",
        None,
        plain(FAULTY, FAULTS, units=2),
        {"epochs": 5, "class_weight": {0: 0.53, 1: 8.0}},
    ),
    Case(
        "inverted_class_weights",
        "Class 0 of the output has",
        plain(FAULTY, FAULTS, units=2),
        {"class_weight": {0: 0.94, 1: 0.06}},
    ),
    Case("constant_features", "are always 0", plain((X / 1000).astype("int32"), Y)),
    Case(
        "constant_features", "4 of the 6 features are constant", plain(np.where(np.arange(6) < 4, np.float32(3), X), Y)
    ),
    Case("not_shuffled", "come sorted", plain(X[SORTED], Y[SORTED]), {"shuffle": False}),
    Case(
        "not_shuffled",
        "classes that are not in training: 3",
        plain(X[Y < 3], Y[Y < 3]),
        {"validation_data": (X[Y == 3], Y[Y == 3])},
    ),
    Case(
        "validation_preprocessed_differently",
        "have mean",
        plain(X, Y),
        {"validation_data": (VAL + 3, VAL_Y), "epochs": 8},
    ),
    Case(
        "validation_preprocessed_differently",
        "mean 0 and deviation 1",
        plain(X, Y),
        {"validation_data": ((VAL - VAL.mean(0)) / VAL.std(0), VAL_Y)},
    ),
    Case("zero_sample_weights", "weigh less than a thousandth", plain(X, Y), {"sample_weight": EXP}),
    Case(
        "zero_sample_weights", "All samples of class 0, 1, 2", plain(X, Y), {"class_weight": {0: 0, 1: 0, 2: 0, 3: 1}}
    ),
    Case("early_stopping_wrong_way", "'accuracy' with mode='min'", plain(X, Y), stop("accuracy", mode="min")),
    Case(
        "early_stopping_wrong_way",
        "got better in each of the last 2",
        plain(X, Y),
        {"epochs": 9} | stop("loss", min_delta=5.0, patience=2),
    ),
    Case("conflicting_duplicates", "64 of 352 samples", plain(TWICE, np.concatenate([Y, (Y[:32] + 1) % 4]))),
    Case("unscaled_inputs", "the first layer, gives", plain(X * 500 + 100, Y), {}, (LAYERS,)),
    Case(
        "unscaled_inputs",
        None,
        lambda: (classifier((6,), 0.05, 4, layers.Rescaling(1 / 500)), X * 500, Y),
        {},
        (LAYERS,),
    ),
    Case(
        "axes_scrambled", "read as (n, 3, 8, 8)", plain(BLOBS[0].transpose(0, 3, 1, 2).reshape(-1, 8, 8, 3), BLOBS[1])
    ),
    Case("axes_scrambled", "differ in brightness only", plain(LEVELS, BLOBS[1])),
    Case("axes_scrambled", None, plain(*BLOBS)),
    Case("axes_scrambled", None, plain(LEVELS - LEVELS.mean((1, 2, 3), keepdims=True), BLOBS[1])),
    Case(
        "misaligned_labels",
        "and much in validation",
        plain(X, Y[RNG.permutation(320)]),
        {"validation_data": (VAL, VAL_Y)},
    ),
    Case(
        "misaligned_labels",
        "1 row further up",
        lambda: (regressor(), LATE[0], np.roll(LATE[1], -1, axis=0)),
        {"shuffle": False},
    ),
    Case("misaligned_labels", "nor nearest neighbours", plain(X, Y[RNG.permutation(320)])),
    Case("misaligned_labels", None, plain(X, HALF_NOISE)),
    Case("misaligned_labels", None, plain(X, OFTEN_BAD), {"sample_weight": np.where(OFTEN_BAD == Y, 1.0, 0.05)}),
    Case("noisy_labels", "of all other classes alike", plain(MANY[0], NOISE), {"epochs": 4}),
    Case("noisy_labels", None, plain(*table(1200, seed=4, spread=3.0)), {"epochs": 4}),
    Case("padding_counted", "their labels are all 0", reading(False)),
    Case("padding_counted", None, reading(True)),
    Case("padding_counted", "averages over them", reading(False, layers.GlobalAveragePooling1D()), LONGER, (LAYERS,)),
    Case("padding_counted", None, reading(True, layers.GlobalAveragePooling1D()), LONGER, (LAYERS,)),
    Case("padding_counted", None, topics(), {"epochs": 6}, (LAYERS,)),
    Case("padding_counted", "reads them last", reading(False, layers.SimpleRNN(4)), {}, (LAYERS,)),
    Case(
        SOUND,
        None,
        plain(np.concatenate([np.where(np.arange(6) < 2, np.float32(0), X)] * 2)[:352], np.concatenate([Y, Y])[:352]),
        {
            "shuffle": False,
            "epochs": 3,
            "sample_weight": (np.arange(352) % 3 > 0).astype("float32"),
            "validation_data": (np.where(np.arange(6) < 2, np.float32(0), HARDLY_SEEN[0]) * 1.2, HARDLY_SEEN[1]),
        }
        | stop("accuracy", mode="max", patience=9),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.rules.split()[0]}-{case.words}" for case in CASES])
def test_rule(case: Case, tmp_path: Path) -> None:
    found = said(case, tmp_path / "run")
    if case.words is None:
        assert not found, str(found[0])
    else:
        assert [each.rule for each in found] == [case.rules]
        assert case.words in str(found[0])


def test_a_mask_that_is_lost_is_noted(tmp_path: Path) -> None:
    recorder = tt.Recorder(tmp_path / "run", taps=[tt.Outputs(), LAYERS])
    mean, answer = layers.GlobalAveragePooling1D(name="mean"), layers.Dense(3, activation="softmax")
    with pytest.warns(UserWarning, match="does not support masking"):
        model = reader(True, layers.Conv1D(4, 1), mean, answer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the same again, once the step is traced
        model.fit(WORDS[0], WORDS[1][:, 0], verbose=0, callbacks=[recorder])
    recorder.finish()
    (note,) = tt.open(tmp_path / "run").diagnose(rules=[BY_NAME["mask_lost"]]).findings
    assert "makes a mask, and 'mean' got none. 'conv1d" in note.seen
    assert note.severity == "note"


def test_a_mask_that_arrives_is_let_be(tmp_path: Path) -> None:
    recorder = tt.Recorder(tmp_path / "run", taps=[tt.Outputs(), LAYERS])
    model = reader(True, layers.GlobalAveragePooling1D(), layers.Dense(3, activation="softmax"))
    model.fit(WORDS[0], WORDS[1][:, 0], verbose=0, callbacks=[recorder])
    recorder.finish()
    report = tt.open(tmp_path / "run").diagnose(rules=[BY_NAME["mask_lost"]])
    assert report.checked == ("mask_lost",)
    assert not report.findings


@pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
@pytest.mark.parametrize(("batches", "said"), [(12, ["epochs_differ"]), (24, [])])
def test_a_generator_that_ends(batches: int, said: list[str], tmp_path: Path) -> None:
    recorder = tt.Recorder(tmp_path / "run", taps=[tt.Outputs()])
    parts = ((X[at : at + 10], Y[at : at + 10]) for at in (10 * (batch % 8) for batch in range(batches)))
    classifier().fit(parts, shuffle=False, steps_per_epoch=8, epochs=3, verbose=0, callbacks=[recorder])
    recorder.finish()
    found = tt.open(tmp_path / "run").diagnose(rules=[BY_NAME["epochs_differ"]]).wrong
    assert [each.rule for each in found] == said
    assert [each.seen for each in found] == ["Epoch 1 had 4 steps, the first one 8."] * len(said)


class RunsDry(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of which the second half of the validation comes in every other epoch."""

    def __init__(self, anew: bool) -> None:
        super().__init__()
        self.drawn, self.anew = 0, anew

    def __len__(self) -> int:
        return 2

    def on_epoch_end(self) -> None:
        self.drawn += 1

    def __getitem__(self, index: int) -> tuple[Array, Array]:
        start = 40 * index + (20 * self.drawn if self.anew else 0)
        return VAL[start % 100 : start % 100 + 20], VAL_Y[start % 100 : start % 100 + 20]


@pytest.mark.parametrize("anew", [True, False])
def test_validation_on_other_samples_each_time(anew: bool, tmp_path: Path) -> None:
    recorder = tt.Recorder(tmp_path / "run", taps=[tt.Outputs()])
    options = {"epochs": 4, "verbose": 0} | stop("val_loss", patience=9)
    options["callbacks"].append(recorder)
    classifier().fit(X, Y, validation_data=RunsDry(anew), **options)
    recorder.finish()
    found = tt.open(tmp_path / "run").diagnose(rules=[BY_NAME["epochs_differ"]]).wrong
    assert [each.where for each in found] == (["validation_steps"] if anew else [])


def test_lint_sees_what_one_batch_shows() -> None:
    rules = [BY_NAME[name] for name in ("nan_in_data", "constant_features", "unscaled_inputs", "axes_scrambled")]
    assert tt.lint(classifier(), (X, Y), rules=rules).ok
    assert [each.rule for each in tt.lint(classifier(), (GONE, Y), rules=rules).wrong] == ["nan_in_data"]
    assert [each.rule for each in tt.lint(classifier(), (X * 500, Y), rules=rules).wrong] == ["unscaled_inputs"]


def test_unscaled_inputs_name_the_feature_that_is_apart() -> None:
    x = X * np.where(np.arange(X.shape[1]) == 2, 500, 1).astype(X.dtype)
    found = tt.lint(classifier(), (x, Y), rules=[BY_NAME["unscaled_inputs"]]).wrong[0]
    assert re.search(r", feature 2 \d+ times the scale of feature [0-9] \(counted from 0\)", found.seen)
    assert found.numbers["feature"] == 2


@pytest.mark.parametrize(
    ("metric", "better"),
    [
        ("val_loss", "min"),
        ("val_sparse_categorical_accuracy", "max"),
        ("val_root_mean_squared_error", "min"),
        ("head_auc", "max"),
        ("val_mean_io_u", "max"),
        ("F1Score", "max"),
        ("mine", None),
        ("accuracy_loss", None),
    ],
)
def test_direction_of_a_metric(metric: str, better: str | None) -> None:
    assert direction(metric) == better
