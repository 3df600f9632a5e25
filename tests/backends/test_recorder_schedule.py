"""When taps record: the steps that a schedule names, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import truetap as tt
from tests.backends.recorded import rows
from truetap.store import RunReader

RNG = np.random.default_rng(19)
X = RNG.normal(size=(38, 3)).astype("float32")  # ten batches, the last of 2
Y = RNG.normal(size=(38, 1)).astype("float32")
FIT: dict[str, Any] = {"batch_size": 4, "shuffle": False, "verbose": 0}


@pytest.fixture(scope="module")
def model() -> Any:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="hidden"), layers.Dense(1, name="head")])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def fit(model: Any, path: Path, taps: Any, epochs: int = 2, **options: Any) -> None:
    model.fit(X, Y, epochs=epochs, **FIT, **options, callbacks=[tt.Recorder(path, taps)])


SCHEDULES: list[tuple[dict[str, Any], list[int]]] = [
    ({"every": 3}, [0, 3, 6, 9, 12, 15, 18]),
    ({"every": 4, "start": 5}, [5, 9, 13, 17]),
    ({"start": 7, "stop": 10}, [7, 8, 9]),
    ({"every": 2, "stop": 5}, [0, 2, 4]),
    ({"steps": [1, 11]}, [1, 11]),
    ({"steps": {1, 12}, "every": 9}, [0, 1, 9, 12, 18]),
    ({"every": "epoch"}, [0, 10]),
    ({"every": 5, "epochs": [1]}, [10, 15]),
    ({"epochs": (0,), "stop": 2}, [0, 1]),
]


NAMES = ["mean", "std", "min", "max", "l1", "l2", "norm", "zeros", "nonfinite"]  # a statistic for each schedule


def test_steps(model: Any, tmp_path: Path) -> None:
    chosen = list(zip(NAMES, SCHEDULES, strict=True))
    taps: list[Any] = [tt.Activations("hidden", reduce=name, **given) for name, (given, _) in chosen]
    taps += [tt.Gradients("hidden/kernel", reduce=name, **given) for name, (given, _) in chosen]
    fit(model, tmp_path / "run", taps)
    for kind in ("activations", "gradients"):
        found = rows(tmp_path / "run", kind)
        for name, (given, expected) in chosen:
            steps = [s for s, n in zip(found["step"], found["statistic"], strict=True) if n == name]
            assert steps == expected, (kind, given)
    assert rows(tmp_path / "run", "scalars")["step"] == list(range(20))
    assert "samples" not in RunReader(tmp_path / "run").tables


def test_raw_values(model: Any, tmp_path: Path) -> None:
    taps = [
        tt.Outputs(every=3),
        tt.Activations("hidden", steps=[2, 9]),
        tt.Gradients("head/kernel", every=7),
        tt.ActivationGradients("hidden", every="epoch"),
        tt.Updates("head/kernel", every=10, start=4, reduce=None),
        tt.Weights("head/kernel", steps=[0, 3]),
        tt.OptimizerState("*iteration*"),
    ]
    fit(model, tmp_path / "run", taps)
    expected = {
        "samples": [0, 3, 6, 9, 12, 15, 18],
        "activations.hidden": [2, 9],
        "gradients.head.kernel": [0, 7, 14],
        "activation_gradients.hidden": [0, 10],
        "updates.head.kernel": [4, 14],
    }
    for table, steps in expected.items():
        assert sorted(set(rows(tmp_path / "run", table)["step"])) == steps, table
    state = next(name for name in RunReader(tmp_path / "run").tables if name.startswith("optimizer."))
    found = rows(tmp_path / "run", state)
    assert found["step"] == [9, 19]
    assert np.diff(np.asarray(found["values"], int).ravel()).tolist() == [10]
    sizes = [4, 2]  # of batches 2 and 9
    assert rows(tmp_path / "run", "activations.hidden")["step"] == [2] * sizes[0] + [9] * sizes[1]


def test_caps_on_samples(model: Any, tmp_path: Path) -> None:
    """`samples=` counts anew in each epoch, over as many batches as it takes."""
    taps = [
        tt.Outputs(samples=6),
        tt.Inputs(samples=9, every=2),
        tt.Activations("hidden", every="epoch", samples=10),
        tt.Activations("head", every="epoch", samples=3),
    ]
    fit(model, tmp_path / "run", taps[1:], epochs=2)
    inputs = rows(tmp_path / "run", "inputs.x")
    assert inputs["step"] == [0] * 4 + [2] * 4 + [4] + [10] * 4 + [12] * 4 + [14]
    np.testing.assert_array_equal(inputs["values"], np.concatenate([X[:4], X[8:12], X[16:17]] * 2))
    hidden = rows(tmp_path / "run", "activations.hidden")
    assert hidden["step"] == [0] * 4 + [1] * 4 + [2] * 2 + [10] * 4 + [11] * 4 + [12] * 2
    assert hidden["position"] == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1] * 2
    assert rows(tmp_path / "run", "activations.head")["step"] == [0] * 3 + [10] * 3
    fit(model, tmp_path / "capped", taps[:1])
    samples = rows(tmp_path / "capped", "samples")
    assert samples["step"] == [0] * 4 + [1] * 2 + [10] * 4 + [11] * 2
    np.testing.assert_array_equal(samples["y_true"], np.concatenate([Y[:6]] * 2))


def test_phases(model: Any, tmp_path: Path) -> None:
    taps = [
        tt.Outputs(phases=("val", "predict")),
        tt.Activations("hidden", phases="test", every=2),
        tt.Activations("head", phases=("train", "val"), reduce="mean", every=4),
    ]
    recorder = tt.Recorder(tmp_path / "run", taps)
    model.fit(X, Y, validation_data=(X[:18], Y[:18]), epochs=2, **FIT, callbacks=[recorder])
    model.evaluate(X, Y, batch_size=4, verbose=0, callbacks=[recorder])
    model.predict(X[:6], batch_size=4, verbose=0, callbacks=[recorder])
    samples = rows(tmp_path / "run", "samples")
    assert {(p, s) for p, s in zip(samples["phase"], samples["step"], strict=True)} == {
        *(("val", step) for step in range(10)),
        ("predict", 0),
        ("predict", 1),
    }
    hidden = rows(tmp_path / "run", "activations.hidden")
    assert set(hidden["phase"]) == {"test"}
    assert sorted(set(hidden["step"])) == [0, 2, 4, 6, 8]
    means = rows(tmp_path / "run", "activations")
    assert {(p, s) for p, s in zip(means["phase"], means["step"], strict=True)} == {
        *(("train", step) for step in range(0, 20, 4)),
        *(("val", step) for step in range(0, 10, 4)),
    }


def test_over_epoch_counts_the_steps_of_the_schedule(model: Any, tmp_path: Path) -> None:
    taps = [tt.Activations("hidden"), tt.Activations("hidden", reduce=["mean", "max"], over="epoch", every=3)]
    fit(model, tmp_path / "run", taps)
    raw, reduced = rows(tmp_path / "run", "activations.hidden"), rows(tmp_path / "run", "activations")
    values, steps = np.asarray(raw["values"]), np.asarray(raw["step"])
    assert set(zip(reduced["epoch"], reduced["step"], reduced["over"], strict=True)) == {
        (0, 9, "epoch"),
        (1, 19, "epoch"),
    }
    for epoch, chosen in ((0, [0, 3, 6, 9]), (1, [12, 15, 18])):
        mine = values[np.isin(steps, chosen)]
        found = {
            name: value
            for name, value, at in zip(reduced["statistic"], reduced["value"], reduced["epoch"], strict=True)
            if at == epoch
        }
        assert found["mean"] == pytest.approx(mine.mean(), rel=1e-4, abs=1e-6)
        assert found["max"] == pytest.approx(mine.max(), rel=1e-5)


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (tt.Outputs, {"every": 0}, r"every= is a number of steps from 1, or 'epoch'\. Received: every=0"),
    (tt.Outputs, {"every": True}, r"Received: every=True"),
    (tt.Outputs, {"every": "batch"}, r"Received: every='batch'"),
    (tt.Outputs, {"every": 2.5}, r"Received: every=2.5"),
    (tt.Outputs, {"start": -1}, r"Received: start=-1, stop=None\. Expected: 0 <= start < stop"),
    (tt.Outputs, {"start": 5, "stop": 5}, r"Received: start=5, stop=5\. Expected"),
    (tt.Outputs, {"phases": "validation"}, r"There is no phase 'validation'.*val"),
    (tt.Outputs, {"phases": ()}, r"phases= is empty.*Expected: some of"),
    (tt.Outputs, {"samples": 0}, r"samples= is a number of samples from 1\. Received: samples=0"),
    (tt.Inputs, {"samples": True}, r"Received: samples=True"),
    (tt.Activations, {"over": "fit"}, r"over= is 'batch', 'epoch' or 'run'\. Received: over='fit'"),
    (tt.Activations, {"over": "epoch"}, r"reduce= is missing\. Expected: such as Activations\(reduce='mean'"),
    (tt.Activations, {"axis": 0}, r"reduce= is missing"),
    (tt.Activations, {"reduce": "mean", "axis": 1}, r"axis= is None .* or 0 .*Received: axis=1"),
    (tt.Activations, {"reduce": "mean", "samples": 4}, r"caps raw values.*Received: both\. Expected: one of them"),
    (tt.Gradients, {"samples": 4}, r"Gradients belong to no sample\. Received: samples=4"),
    (tt.Gradients, {"phases": "val"}, r"only training has\. Received: phases=\('val',\)"),
    (tt.ActivationGradients, {"phases": ("train", "test")}, r"tt\.\w+ takes what only training has"),
    (tt.Weights, {"phases": "val"}, r"tt\.\w+ takes what only training has"),
]


@pytest.mark.parametrize(("tap", "arguments", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_wrong_arguments(tap: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(tt.TapError, match=message):
        tap(**arguments)


def test_wrong_arguments_of_the_recorder(tmp_path: Path) -> None:
    for taps in (["conv1"], "conv1", [tt.Outputs], 3):
        with pytest.raises(tt.TapError, match=r"taps= takes taps, such as tt\.Outputs\(\).*Received"):
            tt.Recorder(tmp_path / "run", taps)  # type: ignore[arg-type]
    with pytest.raises(tt.TapError, match=r"when_full= is 'block' or 'drop'\. Received: when_full='wait'"):
        tt.Recorder(tmp_path / "run", when_full="wait")  # type: ignore[arg-type]
    with pytest.raises(tt.TapError, match=r"on_error= is 'warn' or 'raise'\. Received: on_error='ignore'"):
        tt.Recorder(tmp_path / "run", on_error="ignore")  # type: ignore[arg-type]
    plain = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    message = r"attach\(\) takes a compiled Keras model\. Received: Sequential"
    with pytest.raises(tt.ModelError, match=message), tt.Recorder(tmp_path / "run").attach(plain):
        pass
