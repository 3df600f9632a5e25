"""Training is the same with a recorder and without, and nothing of it is left on the model, however `fit` ends."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
from keras import layers

import truetap as tt
from tests.backends.models import BACKEND, host
from tests.backends.recorded import rows

Array = npt.NDArray[Any]

RNG = np.random.default_rng(5)
N, BATCH = 22, 8
X = RNG.normal(size=(N, 4)).astype("float32")
Y = RNG.normal(size=(N, 1)).astype("float32")
TAPS = [
    tt.Outputs(),
    tt.Inputs(samples=4),
    tt.Activations("counted", reduce=["mean", "zeros"], every=2),
    tt.Activations("first"),
    tt.ActivationGradients("counted", reduce="norm"),
    tt.Gradients("*kernel", reduce="norm"),
    tt.Weights("first/kernel"),
    tt.OptimizerState("*head_kernel*"),
]


FEW = [tt.Outputs(), tt.Gradients("*kernel", reduce="norm", every=2), tt.ActivationGradients("counted")]


class Counted(layers.Layer):  # type: ignore[misc]
    """Counts how often its Python body runs: once a trace, or once a step without one."""

    calls = 0
    fails: type[BaseException] | None = None

    def call(self, x: Any) -> Any:
        Counted.calls += 1
        if Counted.fails is not None:
            raise Counted.fails("in the step")
        return keras.ops.tanh(x)


def make(**compiled: Any) -> Any:
    keras.utils.set_random_seed(2)
    x = inputs = keras.Input((4,))
    x = layers.BatchNormalization()(layers.Dense(5, name="first", use_bias=False, kernel_regularizer="l2")(x))
    x = layers.Dropout(0.3)(Counted(name="counted")(x))
    model = keras.Model(inputs, layers.Dense(1, name="head")(x))
    options: dict[str, Any] = {
        "optimizer": keras.optimizers.Adam(0.05, clipnorm=0.5),
        "loss": "mse",
        "metrics": ["mae"],
    }
    model.compile(**(options | compiled))
    return model


def small() -> Any:
    keras.utils.set_random_seed(2)
    x = inputs = keras.Input((4,))
    x = Counted(name="counted")(layers.Dense(3, name="first")(x))
    model = keras.Model(inputs, layers.Dense(1, name="head")(x))
    model.compile(keras.optimizers.SGD(0.05, momentum=0.5), "mse", metrics=["mae"])
    return model


def fit(model: Any, *callbacks: Any, **options: Any) -> dict[str, list[float]]:
    keras.utils.set_random_seed(4)  # the same shuffling
    given = {"batch_size": BATCH, "epochs": 2, "validation_data": (X[:10], Y[:10]), "verbose": 0} | options
    return dict(model.fit(X, Y, callbacks=list(callbacks), **given).history)


def state(model: Any) -> list[Array]:
    return [host(v.value) for v in [*model.variables, *model.optimizer.variables, *model.metrics_variables]]


def parts(model: Any) -> dict[str, Any]:
    """All that a recorder could leave something on."""
    losses = {f"loss {i}": each.loss for i, each in enumerate(model._compile_loss._flat_losses or ())}
    found = {f"layer {i}": layer for i, layer in enumerate(model._flatten_layers())}
    compiled = {"compile_loss": model._compile_loss, "compile_metrics": model._compile_metrics}
    return found | losses | compiled | {"optimizer": model.optimizer, "loss tracker": model._loss_tracker}


def ours(value: Any, depth: int = 4) -> bool:
    """Whether something of truetap is reached from a function or an object."""
    if str(getattr(value, "__module__", "")).startswith("truetap"):
        return True
    inner = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
    inner += [getattr(value, name, None) for name in ("python_function", "__wrapped__", "__self__", "__func__")]
    return depth > 0 and any(ours(each, depth - 1) for each in inner if each is not None)


def assert_clean(model: Any, *plain: Any) -> None:
    """Nothing of ours is left: only attributes of models that never met a recorder, and nothing of ours in them."""
    there, expected = parts(model), [parts(each) for each in plain]
    for name, part in there.items():
        known = {key for each in expected if name in each for key in vars(each[name])} | {"_eval_epoch_iterator"}
        assert set(vars(part)) <= known, name
        left = [key for key, value in vars(part).items() if ours(value)]
        assert not left, f"{left} of {name}"


MODES: dict[str, list[dict[str, Any]]] = {
    "tensorflow": [{"jit_compile": True}, {"jit_compile": False}, {"run_eagerly": True}, {"steps_per_execution": 2}],
    "jax": [{}, {"run_eagerly": True}],
    "torch": [{}],
}


def exact(compiled: dict[str, Any]) -> bool:
    """Whether a backend runs the same operations with a recorder, in the same order."""
    return BACKEND == "torch" or bool(compiled.get("run_eagerly"))


@pytest.mark.parametrize("compiled", MODES[BACKEND], ids=str)
def test_the_same_training(tmp_path: Path, compiled: dict[str, Any]) -> None:
    taps = [*TAPS, tt.Updates("head/kernel", every=2)] if "steps_per_execution" not in compiled else TAPS
    plain, watched = make(**compiled), make(**compiled)
    found, traces = [], []
    for model, callbacks in ((plain, []), (watched, [tt.Recorder(tmp_path / "run", taps)])):
        Counted.calls = 0
        found.append(fit(model, *callbacks))
        traces.append(Counted.calls)
    assert traces[0] == traces[1]
    assert list(found[0]) == list(found[1]) == ["loss", "mae", "val_loss", "val_mae"]
    close: dict[str, Any] = {"rtol": 0, "atol": 0} if exact(compiled) else {"rtol": 3e-5, "atol": 3e-6}
    for name, values in found[0].items():
        np.testing.assert_allclose(found[1][name], values, err_msg=name, **close)
    assert len(state(plain)) == len(state(watched))
    for one, other in zip(state(plain), state(watched), strict=True):
        np.testing.assert_allclose(other, one, **close)
    assert_clean(watched, plain)


def test_outputs_alone_change_no_bit_where_nothing_is_fused(tmp_path: Path) -> None:
    compiled = {"jit_compile": False} if BACKEND != "jax" else {"run_eagerly": True}
    plain, watched = make(**compiled), make(**compiled)
    expected, found = fit(plain), fit(watched, tt.Recorder(tmp_path / "run"))
    assert found == expected
    for one, other in zip(state(plain), state(watched), strict=True):
        np.testing.assert_array_equal(other, one)


def test_a_second_fit_traces_as_often_as_without(tmp_path: Path) -> None:
    recorder = tt.Recorder(tmp_path / "run", FEW)
    counts = []
    for model, callbacks in ((small(), []), (small(), [recorder])):
        fit(model, *callbacks)
        Counted.calls = 0
        fit(model, *callbacks)
        counts.append(Counted.calls)
    assert counts[0] == counts[1]
    assert sorted(set(rows(tmp_path / "run", "samples", "train")["epoch"])) == [0, 1, 2, 3]


def test_a_plain_fit_after_a_recorded_one_is_not_recorded(tmp_path: Path) -> None:
    plain, watched = small(), small()
    expected = [fit(plain), fit(plain)]
    found = [fit(watched, tt.Recorder(tmp_path / "run", FEW)), fit(watched)]
    for one, other in zip(expected, found, strict=True):
        for name, values in one.items():
            np.testing.assert_allclose(other[name], values, rtol=3e-5, atol=3e-6)
    assert len(rows(tmp_path / "run", "scalars", "train")["step"]) == 6


# --- what ends badly -------------------------------------------------------------------------------------------------


class Stop(Exception):
    pass


class Raises(keras.callbacks.Callback):  # type: ignore[misc]
    """Raises after the second batch."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self._error = error

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 1:
            raise self._error("in a callback")


class Arms(keras.callbacks.Callback):  # type: ignore[misc]
    """Lets the layer raise when its Python body runs next in a step, or while it is traced."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self._error = error

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == (0 if BACKEND == "tensorflow" else 1):  # JAX traces anew for the last batch, TensorFlow doesn't
            Counted.fails = self._error


class Broken(keras.utils.PyDataset):  # type: ignore[misc]
    """Fails at its third batch."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        if index == 2:
            raise Stop("in the data")
        return X[index * 4 : index * 4 + 4], Y[index * 4 : index * 4 + 4]


def generator() -> Iterator[Any]:
    for index in range(2):
        yield X[index * 8 : index * 8 + 8], Y[index * 8 : index * 8 + 8]
    raise Stop("in the data")


def in_callback(error: type[BaseException]) -> Any:
    return lambda model, other: fit(model, other, Raises(error), validation_data=None)


def callback_first(model: Any, other: Any) -> None:
    fit(model, Raises(Stop), other, validation_data=None)


def in_step(error: type[BaseException]) -> Any:
    return lambda model, other: fit(model, other, Arms(error), validation_data=None)


def in_generator(model: Any, other: Any) -> None:
    model.fit(generator(), steps_per_epoch=4, shuffle=False, verbose=0, callbacks=[other])


def in_dataset(model: Any, other: Any) -> None:
    model.fit(Broken(workers=0), verbose=0, shuffle=False, callbacks=[other])


def in_validation(model: Any, other: Any) -> None:
    model.fit(X, Y, batch_size=8, validation_data=Broken(workers=0), verbose=0, callbacks=[other])


ENDS = {
    "a callback": (in_callback(Stop), Stop),
    "a callback before ours": (callback_first, Stop),
    "Ctrl-C in a callback": (in_callback(KeyboardInterrupt), KeyboardInterrupt),
    "the step": (in_step(Stop), Exception),
    "Ctrl-C in the step": (in_step(KeyboardInterrupt), KeyboardInterrupt),
    "a generator": (in_generator, Exception),
    "a PyDataset": (in_dataset, Exception),
    "validation data": (in_validation, Exception),
}


def ended(run: Any, model: Any, other: Any, expected: type[BaseException]) -> str:
    """Lets a training end badly; what was said."""
    said = "nothing was raised"
    try:
        run(model, other)
    except expected as error:
        said = str(error)
    finally:
        Counted.fails = None
    gc.collect()  # Keras' data loaders leave cycles around what they raise
    return said


def let_go(model: Any) -> None:
    """Waits for the thread in which Keras runs callbacks: it may hold the list of an ended call a moment longer."""
    until = time.monotonic() + 10
    while any(ours(each) for each in (model.train_function, model.test_function)) and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)


def steps(path: Path) -> list[int]:
    """The training steps that a run has, which may have none."""
    try:
        return rows(path, "scalars", "train")["step"]
    except tt.errors.StoreError:
        return []


@pytest.fixture(scope="module")
def trained() -> Any:
    """A model that ended well."""
    model = small()
    fit(model)
    return model


@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_left_after(tmp_path: Path, trained: Any, end: str) -> None:
    run, expected = ENDS[end]
    plain, watched = small(), small()
    recorder = tt.Recorder(tmp_path / "run", FEW)
    assert "in " in ended(run, plain, keras.callbacks.Callback(), expected)
    assert "in " in ended(run, watched, recorder, expected)
    let_go(watched)
    recorder.finish()
    assert_clean(watched, plain, trained)
    before = len(steps(tmp_path / "run"))
    counted = int(host(watched.optimizer.iterations))  # TensorFlow may count a step whose batch never came
    assert before == counted or (BACKEND == "tensorflow" and before == counted - 1)  # every step that was made
    fit(watched, epochs=1, validation_data=None)  # works, and is not recorded
    assert_clean(watched, plain, trained)
    assert len(steps(tmp_path / "run")) == before
    fit(watched, recorder, epochs=1, validation_data=None)  # and the same recorder goes on
    scalars = rows(tmp_path / "run", "scalars", "train")
    assert scalars["step"] == list(range(before + 3))
    assert scalars["epoch"][-3:] == [1, 1, 1]
    assert_clean(watched, plain, trained)


def test_a_traceback_that_is_kept_does_no_harm(tmp_path: Path) -> None:
    """As in a notebook, which keeps the last one: `fit` of then is not over for Python."""
    watched, recorder = small(), tt.Recorder(tmp_path / "run")
    kept = []
    try:
        in_callback(Stop)(watched, recorder)
    except Stop as error:
        kept.append(error)
    fit(watched, epochs=1)
    assert_clean(watched, watched)
    assert steps(tmp_path / "run") == [0, 1]
    kept.clear()
    fit(watched, recorder, epochs=1)
    assert steps(tmp_path / "run") == list(range(5))
