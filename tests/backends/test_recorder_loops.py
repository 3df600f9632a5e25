"""Loops written by hand give the tables that `fit` gives, and say what they can't give."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import truetap as tt
from tests.backends.loops import WAYS, HandWritten, squared, weights_of
from tests.backends.models import BACKEND
from tests.backends.recorded import rows
from truetap.fingerprint import fingerprint
from truetap.store import RunReader

RNG = np.random.default_rng(8)
N, BATCH = 22, 8
X = RNG.normal(size=(N, 4)).astype("float32")
Y = RNG.normal(size=(N, 1)).astype("float32")
W = RNG.uniform(0.5, 2, N).astype("float32")


def network(**compiled: Any) -> Any:
    """Every kind of variable: a regulariser, moving means, a seed, momenta."""
    keras.utils.clear_session()  # layers and tables have the same names every time
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(5, activation="tanh", name="first", kernel_regularizer=keras.regularizers.L2(0.01)),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.3, seed=5, name="drop"),
            layers.Dense(1, name="head"),
        ]
    )
    model.compile(**({"optimizer": keras.optimizers.Adam(0.01), "loss": "mse"} | compiled))
    model.optimizer.build(model.trainable_variables)
    return model


def taps() -> list[Any]:
    return [
        tt.Outputs(),
        tt.Inputs(samples=5),
        tt.Activations("*", reduce=["mean", "std"], every=2),
        tt.Activations("drop"),
        tt.Activations("first", reduce="mean", over="epoch"),
        tt.ActivationGradients("norm", reduce="l2"),
        tt.Gradients("*", reduce="norm", every="epoch"),
        tt.Gradients("head/kernel"),
        tt.Weights(),
        tt.Updates(every=2),
        tt.OptimizerState("*momentum*", every=3),
    ]


def batches() -> Iterator[Any]:
    for start in range(0, N, BATCH):
        part = slice(start, start + BATCH)
        yield X[part], Y[part], W[part]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    path = tmp_path_factory.mktemp("fitted") / "run"
    model = network()
    options = {"batch_size": BATCH, "epochs": 2, "shuffle": False, "verbose": 0}
    model.fit(X, Y, sample_weight=W, callbacks=[tt.Recorder(path, taps())], **options)
    return path, weights_of(model)


@pytest.mark.parametrize("told", [True, False], ids=["epoch=", "begin_epoch"])
@pytest.mark.parametrize("way", WAYS)
def test_a_loop_gives_the_tables_of_fit(tmp_path: Path, fitted: tuple[Path, list[Any]], way: str, told: bool) -> None:
    path, weights = fitted
    model = network()
    with tt.Recorder(tmp_path / "run", taps()) as recorder:
        loop = HandWritten(model, recorder, way, epochs=told)
        loop.train(batches, 2)
    assert loop.traces == {"eager": 6, "compiled": 2}[way]  # compiled: one for each size of batch
    for ours, theirs in zip(weights_of(model), weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    left, right = RunReader(path), RunReader(tmp_path / "run")
    assert right.complete
    assert set(left.tables) - {"epochs"} == set(right.tables)  # `epochs` are Keras' logs
    for table in right.tables:
        if table != "overhead":
            _equal(table, rows(path, table), rows(tmp_path / "run", table))


def _equal(table: str, one: dict[str, list[Any]], other: dict[str, list[Any]]) -> None:
    assert set(one) - {"running/loss"} == set(other), table
    for found in (one, other):  # on JAX layers come sorted from fit, in the order of their calls from a loop
        keys = [name for name in ("phase", "step", "position", "path", "statistic", "over") if name in found]
        order = sorted(range(len(found["step"])), key=lambda i: [found[name][i] for name in keys])
        found.update({name: [values[i] for i in order] for name, values in found.items()})
    for name, values in other.items():
        assert len(values) == len(one[name]), (table, name)
        for ours, theirs in zip(values, one[name], strict=True):
            if isinstance(theirs, float | np.ndarray | list):
                np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5, err_msg=f"{table}.{name}")
            else:
                assert ours == theirs, (table, name)


@pytest.mark.parametrize("way", WAYS)
def test_a_loop_that_asks_the_model_for_its_loss_has_nothing_to_log(tmp_path: Path, way: str) -> None:
    """`compute_loss` is seen as under `fit`."""
    model = network(optimizer=keras.optimizers.SGD(0.1))

    class Asking(HandWritten):
        def log(self, step: Any, *values: Any) -> None:
            return None

        def total(self, losses: Any, weights: Any, others: Any) -> Any:
            return self.asked

        asked: Any = None

    with tt.Recorder(tmp_path / "run") as recorder:
        loop = Asking(model, recorder, way)

        def loss(y: Any, y_pred: Any) -> Any:
            loop.asked = model.compute_loss(y=y, y_pred=y_pred)
            return squared(y, y_pred)

        loop.loss = loss
        loop.train(batches, 1)
    samples, scalars = rows(tmp_path / "run", "samples"), rows(tmp_path / "run", "scalars")
    assert np.ravel(samples["y_true"]).tolist() == Y.ravel().tolist()
    difference = np.ravel(samples["y_pred"]) - Y.ravel()
    np.testing.assert_allclose(samples["loss"], difference**2, rtol=1e-5)
    data = [
        np.mean([v for v, s in zip(samples["loss"], samples["step"], strict=True) if s == step]) for step in range(3)
    ]
    assert all(total > part for total, part in zip(scalars["loss"], data, strict=True))  # with the regulariser


def test_named_samples_and_other_phases(tmp_path: Path) -> None:
    model = network()
    names = np.asarray([f"n{i}" for i in range(N)])
    with tt.Recorder(tmp_path / "run") as recorder:
        for epoch in range(2):
            for start in range(0, N, BATCH):
                part = slice(start, start + BATCH)
                with recorder.step(model, epoch=epoch, phase="val") as step:
                    y_pred = model(ops.convert_to_tensor(X[part]))
                    step.log(y_true=Y[part], metrics={"mae": ops.mean(ops.abs(ops.subtract(Y[part], y_pred)))})
                    step.log(ids=names[part], loss=squared(Y[part], y_pred))
    samples, scalars = rows(tmp_path / "run", "samples"), rows(tmp_path / "run", "scalars")
    assert samples["sample_id"] == names.tolist() * 2
    assert set(samples["phase"]) == {"val"}
    assert samples["epoch"] == [0] * N + [1] * N
    assert samples["fingerprint"] == fingerprint(X).tolist() * 2
    y_pred = np.ravel(samples["y_pred"])[:N]
    np.testing.assert_allclose(y_pred, ops.convert_to_numpy(model(X)).ravel(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scalars["loss"][0], np.mean((y_pred[:8] - Y[:8, 0]) ** 2), rtol=1e-5)
    np.testing.assert_allclose(scalars["running/mae"][2], np.mean(np.abs(y_pred[16:] - Y[16:, 0])), rtol=1e-5)


def test_several_outputs(tmp_path: Path) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, {"z": layers.Dense(1)(inputs), "a": layers.Dense(2)(inputs)})
    y = {"a": np.tile(Y, (1, 2)), "z": Y}
    with tt.Recorder(tmp_path / "run") as recorder, recorder.step(model, phase="test") as step:
        y_pred = model(ops.convert_to_tensor(X))
        step.log(y_true=y, loss={name: squared(y[name], y_pred[name]) for name in ("z", "a")})
    samples = tt.open(tmp_path / "run").samples()
    each = {name: np.mean((y[name] - samples[name].y_pred) ** 2, axis=-1) for name in ("z", "a")}
    for name, losses in each.items():
        np.testing.assert_allclose(np.asarray(samples[name].loss), losses, rtol=1e-5)
        np.testing.assert_array_equal(samples[name].y_true, y[name])
    np.testing.assert_allclose(np.asarray(samples.loss), each["z"] + each["a"], rtol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_loops_fits_and_resumed_runs_count_on(tmp_path: Path, way: str) -> None:
    path = tmp_path / "run"
    model = network()
    recorder = tt.Recorder(path)
    loop = HandWritten(model, recorder, way)
    loop.train(batches, 2)
    loop.train(batches, 1)  # counts from 0 again
    model.fit(X, Y, batch_size=BATCH, epochs=2, verbose=0, callbacks=[recorder])
    loop.train(batches, 1)  # a compiled step is not traced again
    recorder.finish()
    with tt.Recorder(path, resume=True) as again:
        HandWritten(model, again, way, epochs=False).train(batches, 1)
    scalars = rows(path, "scalars", "train")
    assert scalars["step"] == list(range(21))
    assert scalars["epoch"] == [epoch for epoch in range(7) for _ in range(3)]
    assert len(rows(path, "samples")["step"]) == 7 * N


def _raising(value: Any) -> None:
    raise RuntimeError("on purpose")


def test_an_exception_leaves_nothing_behind_and_the_next_step_is_recorded(tmp_path: Path) -> None:
    model = network()
    before = set(vars(model)), set(vars(model.optimizer)), [set(vars(layer)) for layer in model.layers]
    with tt.Recorder(tmp_path / "run", taps()[:4]) as recorder:
        with pytest.raises(RuntimeError, match="on purpose"), recorder.step(model, phase="test"):
            _raising(model(ops.convert_to_tensor(X)))
        assert (set(vars(model)), set(vars(model.optimizer)), [set(vars(each)) for each in model.layers]) == before
        with recorder.step(model, phase="test") as step:
            model(ops.convert_to_tensor(X))
            step.log(y_true=Y)
    assert rows(tmp_path / "run", "scalars")["step"] == [0]
    assert len(rows(tmp_path / "run", "samples")["step"]) == N


def _compiled(function: Any) -> Any:
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(function, autograph=False)
    import jax

    return jax.jit(function)


@pytest.mark.skipif(BACKEND == "torch", reason="torch runs op by op")
def test_a_block_around_a_compiled_call(tmp_path: Path) -> None:
    """What is inside can't leave; what it returns can be logged."""
    model = network()
    forward = _compiled(lambda x: model(x))
    x = ops.convert_to_tensor(X)
    with tt.Recorder(tmp_path / "run") as recorder:

        def without_inputs() -> None:
            with recorder.step(model, phase="test") as step:
                step.log(y_true=Y, y_pred=forward(x))

        with pytest.raises(tt.TapError, match=r"saw no inputs.*inside another compiled function.*step\.log\(x=…"):
            without_inputs()
        for _ in range(2):
            with recorder.step(model, phase="test") as step:
                y_pred = forward(x)
                step.log(x=X, y_true=Y, y_pred=y_pred, loss=squared(ops.convert_to_tensor(Y), y_pred))
    samples = rows(tmp_path / "run", "samples")
    assert samples["fingerprint"] == fingerprint(X).tolist() * 2
    np.testing.assert_allclose(samples["loss"], (np.ravel(samples["y_pred"]) - np.tile(Y[:, 0], 2)) ** 2, rtol=1e-5)


def test_what_is_refused(tmp_path: Path) -> None:
    model = network()
    x = ops.convert_to_tensor(X)
    recorder = tt.Recorder(tmp_path / "run", [tt.Outputs(), tt.Gradients()])
    with pytest.raises(tt.TapError, match=r"phases \('train', 'val', 'test'\)\. Received: phase='predict'"):
        recorder.step(model, phase="predict")
    with pytest.raises(tt.ModelError, match=r"takes a built Keras model\. Received: Sequential that is not built"):
        recorder.step(keras.Sequential([layers.Dense(1)]))
    with pytest.raises(tt.ModelError, match="Received: int"):
        recorder.step(3)

    def logged(phase: str, **said: Any) -> None:
        with recorder.step(model, phase=phase) as step:
            y_pred = model(x)
            step.log(**{name: value(y_pred) for name, value in said.items()})

    with pytest.raises(tt.LossError, match="Received: a scalar"):
        logged("test", loss=lambda y_pred: ops.mean(y_pred))
    with pytest.raises(tt.LossError, match=r"shape \(22, 22\): labels of shape \(22,\) were broadcast against outputs"):
        logged("test", y_true=lambda _: Y[:, 0], loss=lambda y_pred: ops.convert_to_tensor(Y[:, 0]) - y_pred)
    with pytest.raises(tt.LengthError, match="Received: 1 for 6 variables"):
        logged("train", y_true=lambda _: Y, gradients=lambda y_pred: [y_pred])
    with pytest.raises(tt.TapError, match=r"records a loop of the model .* Expected: a Recorder for each model"):
        recorder.step(keras.Sequential([keras.Input((2,)), layers.Dense(1)]))
    recorder.finish()


def test_sixteen_bits_need_the_inputs_as_they_were(tmp_path: Path) -> None:
    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.head = layers.Dense(1)

        def call(self, x: Any) -> Any:
            return self.head(x)

    x = ops.convert_to_tensor(X)
    keras.config.set_dtype_policy("mixed_float16")
    try:  # a functional model leaves its inputs to its layers, one of a user's own class gets them cast
        model, narrow = keras.Sequential([keras.Input((4,)), layers.Dense(1)]), Own()
        narrow(x)
    finally:
        keras.config.set_dtype_policy("float32")
    with tt.Recorder(tmp_path / "one") as recorder, recorder.step(model, phase="test") as step:
        model(x)
        step.log(y_true=Y)
    assert rows(tmp_path / "one", "samples")["fingerprint"] == fingerprint(X).tolist()
    with tt.Recorder(tmp_path / "two") as recorder:
        with (
            pytest.raises(tt.TapError, match=r"casts its inputs to float16.*Expected: step\.log\(x=x\)"),
            recorder.step(narrow, phase="test"),
        ):
            narrow(x)
        with recorder.step(narrow, phase="test") as step:
            narrow(x)
            step.log(x=X, y_true=Y)
    assert rows(tmp_path / "two", "samples")["fingerprint"] == fingerprint(X).tolist()


def _jax_epoch(model: Any, recorder: tt.Recorder) -> Any:
    """An epoch as one `jax.lax.scan`, whose state is given up to it."""
    import jax

    groups = (model.trainable_variables, model.non_trainable_variables, model.optimizer.variables)
    state: Any = tuple([variable.value for variable in group] for group in groups)

    def step(state: Any, batch: Any) -> Any:
        x, y = batch
        trainable, others, optimizer = state
        with recorder.step(model) as said:

            def loss(trainable: Any) -> Any:
                y_pred, new = model.stateless_call(trainable, others, x, training=True)
                return ops.mean(squared(y, y_pred)), (squared(y, y_pred), new)

            (total, (losses, new)), gradients = jax.value_and_grad(loss, has_aux=True)(trainable)
            trainable, optimizer = model.optimizer.stateless_apply(optimizer, gradients, trainable)
            said.log(y_true=y, loss=losses, total_loss=total)
        return (trainable, new, optimizer), total

    scan = jax.jit(lambda state, data: jax.lax.scan(step, state, data), donate_argnums=0)

    def epoch() -> list[float]:
        nonlocal state
        state, totals = scan(state, (X[:16].reshape(2, 8, 4), Y[:16].reshape(2, 8, 1)))
        return [float(total) for total in totals]

    return epoch


def _tensorflow_epoch(model: Any, recorder: tt.Recorder) -> Any:
    """An epoch as a loop over the dataset inside one `tf.function`."""
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X[:16], Y[:16])).batch(8)
    totals = tf.Variable(tf.zeros(2))

    @tf.function  # type: ignore[untyped-decorator, unused-ignore]
    def loop() -> None:
        for number, (x, y) in data.enumerate():
            with recorder.step(model) as said:
                with tf.GradientTape() as tape:
                    losses = squared(y, model(x, training=True))
                    total = ops.mean(losses)
                variables = model.trainable_variables
                model.optimizer.apply(tape.gradient(total, variables), variables)
                said.log(y_true=y, loss=losses, total_loss=total)
            totals.scatter_nd_update([[number]], [total])

    def epoch() -> list[float]:
        loop()
        return [float(total) for total in totals.numpy()]

    return epoch


@pytest.mark.skipif(BACKEND == "torch", reason="torch runs op by op")
def test_steps_inside_a_compiled_loop(tmp_path: Path) -> None:
    model = network()
    taps = [tt.Outputs(), tt.Gradients("head/kernel", reduce="l2", every=3), tt.Updates("head/kernel", every=3)]
    make = {"jax": _jax_epoch, "tensorflow": _tensorflow_epoch}[BACKEND]
    totals = []
    with tt.Recorder(tmp_path / "run", taps) as recorder:
        epoch = make(model, recorder)
        for number in range(3):
            if number:
                recorder.begin_epoch()
            totals += epoch()
    scalars = rows(tmp_path / "run", "scalars")
    np.testing.assert_allclose(scalars["loss"], totals, rtol=1e-5)
    assert scalars["epoch"] == [0, 0, 1, 1, 2, 2]
    assert rows(tmp_path / "run", "samples")["fingerprint"] == fingerprint(X[:16]).tolist() * 3
    for table in ("gradients", "updates"):
        assert set(rows(tmp_path / "run", table)["step"]) == {0, 3}
        assert all(value > 0 for value in rows(tmp_path / "run", table)["value"])


if BACKEND == "torch":

    def test_an_optimizer_of_torch(tmp_path: Path) -> None:
        """Gradients are those that hang on the parameters."""
        import torch

        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        kernel = model.get_layer("head").kernel
        found = []
        with tt.Recorder(
            tmp_path / "run", [tt.Gradients("head/kernel"), tt.Updates("head/kernel", reduce=None)]
        ) as recorder:
            for _ in range(2):
                with recorder.step(model) as step:
                    optimizer.zero_grad()
                    loss = squared(torch.as_tensor(Y), model(torch.as_tensor(X), training=True))
                    loss.mean().backward()
                    found.append(kernel.value.grad.numpy().copy())
                    optimizer.step()
                    step.log(y_true=Y, loss=loss)
        np.testing.assert_array_equal(rows(tmp_path / "run", "gradients.head.kernel")["values"], found)
        updates = np.asarray(rows(tmp_path / "run", "updates.head.kernel")["values"])
        np.testing.assert_allclose(updates, -0.1 * np.asarray(found), rtol=1e-3, atol=1e-7)


if BACKEND == "jax":

    def test_a_loop_without_an_optimizer_of_keras(tmp_path: Path) -> None:
        """Gradients are said; what nobody shows is refused."""
        import jax

        model = network()
        variables = [[v.value for v in group] for group in (model.trainable_variables, model.non_trainable_variables)]
        x, y = jax.numpy.asarray(X), jax.numpy.asarray(Y)

        def train(recorder: tt.Recorder) -> Any:
            with recorder.step(model) as step:

                def loss(trainable: Any) -> Any:
                    losses = squared(y, model.stateless_call(trainable, variables[1], x)[0])
                    return losses.mean(), losses

                gradients, losses = jax.grad(loss, has_aux=True)(variables[0])
                step.log(y_true=y, loss=losses, gradients=gradients)
            return gradients

        with tt.Recorder(tmp_path / "run", [tt.Outputs(), tt.Gradients("head/kernel")]) as recorder:
            gradients = jax.jit(train, static_argnums=0)(recorder)
        recorded = rows(tmp_path / "run", "gradients.head.kernel")["values"][0]
        np.testing.assert_allclose(recorded, np.asarray(gradients[-2]), rtol=1e-5)
        with (
            tt.Recorder(tmp_path / "two", tt.Updates()) as recorder,
            pytest.raises(tt.TapError, match=r"Updates of first/kernel.*can't be seen.*stateless_apply"),
        ):
            train(recorder)


if BACKEND == "tensorflow":

    def test_a_step_under_xla_is_refused(tmp_path: Path) -> None:
        import tensorflow as tf

        model = network()
        recorder = tt.Recorder(tmp_path / "run")

        @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator, unused-ignore]
        def forward(x: Any) -> Any:
            with recorder.step(model, phase="test"):
                return model(x)

        with pytest.raises(tt.TapError, match="jit_compile=True, from which the host can't be called"):
            forward(tf.constant(X))
        recorder.finish()

    def test_a_strategy_of_two_replicas(tmp_path: Path) -> None:
        """Every sample once, all of a step's replicas in one step."""
        command = [sys.executable, "-m", "tests.backends.replicated_in_a_process", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "Activations can't be had under a strategy with several replicas" in done.stdout
        samples, scalars = rows(tmp_path / "run", "samples"), rows(tmp_path / "run", "scalars")
        x = np.arange(N * 3, dtype="float32").reshape(N, 3) / 66
        assert samples["step"] == [step for step, size in enumerate([8, 8, 6] * 2) for _ in range(size)]
        assert samples["epoch"] == [0] * N + [1] * N
        assert sorted(samples["fingerprint"]) == sorted(fingerprint(x).tolist() * 2)
        by_print = dict(zip(fingerprint(x).tolist(), (x.sum(axis=1) / 2) ** 2, strict=True))
        np.testing.assert_allclose(samples["loss"], [by_print[each] for each in samples["fingerprint"]], rtol=1e-5)
        np.testing.assert_allclose(scalars["loss"][1], np.mean((x[8:16].sum(axis=1) / 2) ** 2), rtol=1e-5)
