"""Rules of architecture, initialisation and regularisation: each on a fit that it speaks of, and on a near miss."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import initializers, layers, ops

import truetap as tt
from truetap.diagnosis.drawn import drawn, still_as_drawn
from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.learnt import best_skill, neighbours_skill, skill
from truetap.diagnosis.rules.broken_graph import BrokenGraph
from truetap.diagnosis.rules.dead_relu import DeadRelu
from truetap.diagnosis.rules.dropout_too_high import DropoutTooHigh
from truetap.diagnosis.rules.frozen_by_mistake import FrozenByMistake
from truetap.diagnosis.rules.initial_weights_too_large import InitialWeightsTooLarge
from truetap.diagnosis.rules.missing_activation import MissingActivation
from truetap.diagnosis.rules.penalty_too_strong import PenaltyTooStrong
from truetap.diagnosis.rules.saturated_units import SaturatedUnits
from truetap.diagnosis.rules.tiny_batches_under_batch_norm import TinyBatchesUnderBatchNorm
from truetap.diagnosis.rules.too_few_units import TooFewUnits
from truetap.diagnosis.rules.training_flag_ignored import TrainingFlagIgnored
from truetap.diagnosis.rules.untracked_weights import UntrackedWeights
from truetap.diagnosis.rules.vanishing_gradient import VanishingGradient
from truetap.diagnosis.rules.zero_initialisation import ZeroInitialisation
from truetap.facts import Facts, LayerFacts, ModelFacts, PhaseFacts
from truetap.facts.types import ArrayFacts, OutputFacts, WeightFacts
from truetap.rules.finding import Severity

Dense = layers.Dense
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 4, 240)
X = (np.eye(4)[Y] @ RNG.normal(0, 1, (4, 6)) + RNG.normal(0, 0.2, (240, 6))).astype("float32")


def stack(*parts: Any, rate: float = 0.02, last: Any = None) -> Any:
    """Layers before a softmax over four classes, compiled."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((6,)), *parts, Dense(4, activation="softmax", name="head") if last is None else last]
    )
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    return model


def of(model: Any, rate: float = 0.02) -> Any:
    """A model that was made otherwise, compiled."""
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    return model


def diagnosed(path: Path, model: Any, rule: Any, epochs: int = 2, batch_size: int = 24, **fit: Any) -> Any:
    recorder = tt.Recorder(path / "r", taps="diagnose")
    model.fit(X, Y, epochs=epochs, batch_size=batch_size, verbose=0, callbacks=[recorder], **fit)
    recorder.finish()
    report = tt.open(path / "r").diagnose(model, rules=[rule])
    assert report.checked == (rule.name,), report.skipped
    return report


def hidden(units: int = 12, activation: str | None = "relu", **options: Any) -> Any:
    return Dense(units, activation=activation, **options)


class Plain(keras.Model):  # type: ignore[misc]
    """Two hidden layers whose activation, if any, is in `call`."""

    def __init__(self, bend: bool) -> None:
        super().__init__()
        self.bend, self.one, self.other = bend, Dense(16), Dense(8)
        self.head = Dense(4, activation="softmax")

    def call(self, x: Any) -> Any:
        for layer in (self.one, self.other):
            x = ops.relu(layer(x)) if self.bend else layer(x)
        return self.head(x)


class Idle(Plain):
    """Has a layer that its `call` never uses, or that it does."""

    def __init__(self, used: bool) -> None:
        super().__init__(True)
        self.used, self.more = used, Dense(4, activation="softmax")

    def call(self, x: Any) -> Any:
        return self.more(x) if self.used else super().call(x)


class Stop(layers.Layer):  # type: ignore[misc]
    """Hands on values, and gradients or not."""

    def __init__(self, through: bool) -> None:
        super().__init__(name="stop")
        self.through = through

    def call(self, x: Any) -> Any:
        return x if self.through else ops.stop_gradient(x)


class Drops(layers.Layer):  # type: ignore[misc]
    """Drops whatever it is asked."""

    def __init__(self) -> None:
        super().__init__(name="drops")
        self.seed = keras.random.SeedGenerator(1)

    def call(self, x: Any) -> Any:
        return keras.random.dropout(x, 0.5, seed=self.seed)


class DropsByHand(Drops):
    """Has the argument, and looks at it or not."""

    def __init__(self, heeds: bool) -> None:
        super().__init__()
        self.heeds = heeds

    def call(self, x: Any, training: bool = False) -> Any:
        kept = ops.cast(keras.random.uniform(ops.shape(x), seed=self.seed) > 0.5, "float32")
        return 2 * x * kept if training or not self.heeds else x


class Own(layers.Layer):  # type: ignore[misc]
    """A layer of one's own with a matrix."""

    def __init__(self, start: Any) -> None:
        super().__init__(name="own")
        self.start = start

    def build(self, shape: tuple[int, ...]) -> None:
        self.matrix = self.add_weight(shape=(shape[-1], 12), initializer=self.start, name="matrix")

    def call(self, x: Any) -> Any:
        return ops.relu(x @ self.matrix)


class DropsInTraining(Drops):
    """Drops in training."""

    def call(self, x: Any, training: bool = False) -> Any:
        return keras.random.dropout(x, 0.5, seed=self.seed) if training else x


class Norm(layers.Layer):  # type: ignore[misc]
    """Batch norm in the mode of the step, or in that of inference."""

    def __init__(self, always: bool | None) -> None:
        super().__init__(name="block")
        self.always, self.norm = always, layers.BatchNormalization(name="norm")

    def call(self, x: Any, training: bool = False) -> Any:
        return self.norm(x, training=training if self.always is None else self.always)


def frozen(part: Any) -> Any:
    part.trainable = False
    return part


def loaded(part: Any, scale: float) -> Any:
    """With weights that no initializer draws."""
    part.build((None, 6))
    part.set_weights([np.asarray(weight) * scale + 0.1 for weight in part.get_weights()])
    return part


LARGE = initializers.RandomNormal(stddev=4.0, seed=1)
BELOW = initializers.Constant(-9.0)
EQUAL = initializers.Constant(0.1)
L2 = keras.regularizers.L2

Build = Callable[[], Any]
# rule, broken, what is said of it, near miss
CASES: dict[str, tuple[Any, Build, str, Build]] = {
    "linear": (
        MissingActivation(),
        lambda: stack(hidden(16, None, name="one"), layers.Dropout(0.1), hidden(8, None, name="other")),
        r"No hidden layer has an activation \('one', 'other'\): the model is one affine map",
        lambda: stack(
            hidden(16, None), layers.BatchNormalization(), layers.ReLU(), hidden(3, None)
        ),  # ends in a low rank
    ),
    "linear in a call": (
        MissingActivation(),
        lambda: of(Plain(bend=False)),
        r"the model is one affine map before its output",
        lambda: of(Plain(bend=True)),
    ),
    "sigmoids": (
        VanishingGradient(),
        lambda: stack(*(hidden(12, "sigmoid", name=f"s{at}") for at in range(8)), rate=0.001),
        r"The gradient of 's0' is \d\.\de-0\d of that of 'head'.* 8 of the layers between are sigmoid\.",
        lambda: stack(
            *(
                part
                for _ in range(8)
                for part in (hidden(12, None), layers.BatchNormalization(), layers.Activation("sigmoid"))
            ),
            rate=0.001,
        ),
    ),
    "neck": (
        TooFewUnits(),
        lambda: stack(hidden(16), hidden(1, "tanh", name="neck"), rate=0.002),
        r"'neck' has 1 unit, and all that reaches the output goes through it: 4 values are .* and \d+% of the labels",
        lambda: stack(hidden(16), hidden(3, "tanh")),
    ),
    "zeros": (
        ZeroInitialisation(),
        lambda: stack(hidden(name="one", kernel_initializer="zeros"), hidden(kernel_initializer="zeros")),
        r"The weights of 'one', 'dense\w*' begin as Zeros, and their gradient is 0 in all \d+ recorded steps",
        lambda: stack(hidden(), last=Dense(4, activation="softmax", kernel_initializer="zeros")),
    ),
    "equal": (
        ZeroInitialisation(),
        lambda: stack(
            hidden(name="one", kernel_initializer=EQUAL), last=Dense(4, activation="softmax", kernel_initializer=EQUAL)
        ),
        r"begin as Constant\(value=0\.1\), and 100% of the units are copies of the one beside them",
        lambda: stack(
            hidden(activation="tanh", kernel_initializer=EQUAL), rate=0.05
        ),  # random weights behind: they part
    ),
    "equal, in a layer of one's own": (
        ZeroInitialisation(),
        lambda: stack(Own(EQUAL), last=Dense(4, activation="softmax", kernel_initializer=EQUAL)),
        r"The weights of 'own' begin equal, and 100% of the units are copies of the one beside them",
        lambda: stack(Own(initializers.GlorotUniform(seed=1))),
    ),
    "dead": (
        DeadRelu(),
        lambda: stack(hidden(name="one", bias_initializer=BELOW)),
        r"100% of the units of 'one' are 0 for all samples of each batch, from the first.*'one/bias' averages -9",
        lambda: stack(hidden(bias_initializer=BELOW, activation="leaky_relu")),
    ),
    "ends of tanh": (
        SaturatedUnits(),
        lambda: stack(hidden(24, "tanh", name="one", kernel_initializer=LARGE)),
        r"\d+% of the values of 'one' are at the ends of its tanh in the first step\. Its kernel begins as",
        lambda: stack(hidden(24, "tanh")),
    ),
    "large": (
        InitialWeightsTooLarge(),
        lambda: stack(hidden(24, name="one", kernel_initializer=LARGE), hidden(24, kernel_initializer=LARGE)),
        r"The kernel of '\w+' begins \d+ times as large as He's .*stddev=4\)\); 1 more.*The first loss is",
        lambda: stack(hidden(24, None, kernel_initializer=LARGE), layers.BatchNormalization(), layers.ReLU()),
    ),
    "dropped": (
        DropoutTooHigh(),
        lambda: stack(hidden(), layers.Dropout(0.95, name="drop"), rate=0.001),
        r"'drop' drops 95% of its inputs, which leaves about 0\.6 of 12\.",
        lambda: stack(hidden(64), layers.Dropout(0.6)),
    ),
    "penalty": (
        PenaltyTooStrong(),
        lambda: stack(
            hidden(name="one", kernel_regularizer=L2(3.0)),
            last=Dense(4, activation="softmax", kernel_regularizer=L2(3.0)),
            rate=0.05,
        ),
        r"'one' has a penalty of 3 \(2 layers have one\); .* are \d+ times the loss\. The kernels end at",
        lambda: stack(hidden(kernel_regularizer="l2")),
    ),
    "penalty on values": (
        PenaltyTooStrong(),
        lambda: stack(hidden(name="one", activity_regularizer=keras.regularizers.L1(2.0)), rate=0.05),
        r"'one' has a penalty of 2; .* are [\d.]+ times the loss\. Its values end at \d\.\d% of the size they",
        lambda: stack(hidden(activity_regularizer=keras.regularizers.L1(1e-4))),
    ),
    "mode of use": (
        TrainingFlagIgnored(),
        lambda: stack(hidden(), Norm(always=False)),
        r"'block/norm': called with training=False in training.*still 0 and 1",
        lambda: stack(hidden(), Norm(always=None)),
    ),
    "always dropping": (
        TrainingFlagIgnored(),
        lambda: stack(hidden(), Drops()),
        r"'drops': drop in validation and in use too, since `call` never looks at training",
        lambda: stack(hidden(), DropsInTraining()),
    ),
    "by chance": (
        TrainingFlagIgnored(),
        lambda: stack(hidden(), DropsByHand(heeds=False)),
        r"Asked twice in inference mode, the model predicts the same inputs differently, by 0\.\d+ times",
        lambda: stack(hidden(), DropsByHand(heeds=True)),
    ),
    "frozen": (
        FrozenByMistake(),
        lambda: stack(frozen(hidden(5, name="one")), rate=0.001),
        r"'one': not trainable, and still as GlorotUniform\(scale=1\) draws them; the model explains \d+% of",
        lambda: stack(frozen(loaded(hidden(5), 1.5)), rate=0.001),
    ),
    "stopped": (
        BrokenGraph(),
        lambda: stack(hidden(name="one"), Stop(through=False)),
        r"'one': trainable, and (without gradient|the gradient is 0 in every.*)\. Behind them is 'stop' \(Stop\)",
        lambda: stack(hidden(), Stop(through=True)),
    ),
    "never called": (
        BrokenGraph(),
        lambda: of(Idle(used=False)),
        r"The model has the layers 'dense\w*', and its call uses none of them",
        lambda: of(Plain(bend=True)),
    ),
}


UNTRAINED = pytest.mark.filterwarnings(
    "ignore:.*Gradients do not exist:UserWarning",
    "ignore:No gradient reaches:truetap.RecordingWarning",
    "ignore:.*unbuilt state:UserWarning",
    "ignore:These layers were selected and did not run:truetap.RecordingWarning",
)


@UNTRAINED
@pytest.mark.parametrize("case", CASES)
def test_it_is_said(tmp_path: Path, case: str) -> None:
    rule, broken, words, _ = CASES[case]
    wrong = diagnosed(tmp_path, broken(), rule).wrong
    assert [finding.rule for finding in wrong] == [rule.name]
    assert re.search(words, wrong[0].seen + wrong[0].why), wrong[0].seen + wrong[0].why
    assert wrong[0].do
    assert wrong[0].where or case == "by chance"


@pytest.mark.parametrize("case", CASES)
def test_a_near_miss_is_let_be(tmp_path: Path, case: str) -> None:
    rule, _, _, sound = CASES[case]
    report = diagnosed(tmp_path, sound(), rule, epochs=4)
    assert not report.wrong, str(report)


@pytest.mark.parametrize(
    "case", ["linear", "linear in a call", "sigmoids", "zeros", "dead", "large", "mode of use", "by chance", "stopped"]
)
@UNTRAINED
def test_one_step_shows_it_too(case: str) -> None:
    rule, broken, _, sound = CASES[case]
    assert [finding.rule for finding in tt.lint(broken(), (X, Y), rules=[rule]).wrong] == [rule.name]
    assert tt.lint(sound(), (X, Y), rules=[rule]).ok


def test_kernels_alone_show_that_the_gradient_vanishes(tmp_path: Path) -> None:
    rule, broken, words, _ = CASES["sigmoids"]
    recorder = tt.Recorder(tmp_path / "r", [tt.Outputs(), tt.Gradients("*kernel", reduce="norm")])
    broken().fit(X, Y, epochs=2, batch_size=24, verbose=0, callbacks=[recorder])
    (found,) = tt.open(tmp_path / "r").diagnose(rules=[rule]).wrong
    assert re.search(words, found.seen)


def test_a_residual_branch_may_begin_as_nothing() -> None:
    inputs = keras.Input((6,))
    inner = layers.BatchNormalization(gamma_initializer="zeros")(Dense(6, activation="relu")(inputs))
    model = keras.Model(inputs, Dense(4, activation="softmax")(layers.Add()([inputs, inner])))
    model.compile("adam", "sparse_categorical_crossentropy")
    assert tt.lint(model, (X, Y), rules=[BrokenGraph()]).ok


def test_asking_twice_leaves_the_seeds_alone() -> None:
    model = stack(hidden(), DropsByHand(heeds=False))
    before = keras.ops.convert_to_numpy(model.get_layer("drops").seed.state).copy()
    tt.lint(model, (X, Y), rules=[TrainingFlagIgnored()])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.get_layer("drops").seed.state), before)


@pytest.mark.parametrize(("scale", "said"), [(0.0, True), (0.3, False)])
def test_tables_whose_product_begins_as_nothing(tmp_path: Path, scale: float, said: bool) -> None:
    rng = np.random.default_rng(0)
    pairs = [rng.integers(0, 9, 120) for _ in range(2)]
    inputs = [keras.Input((), dtype="int32") for _ in range(2)]
    start = initializers.RandomNormal(stddev=scale, seed=1) if scale else "zeros"
    tables = [layers.Embedding(9, 4, embeddings_initializer=start, name=f"table{i}")(x) for i, x in enumerate(inputs)]
    model = keras.Model(inputs, layers.Dot(axes=1)(tables))
    model.compile("adam", "mse")
    recorder = tt.Recorder(tmp_path / "r", taps="diagnose")
    model.fit(pairs, rng.normal(size=(120, 1)), batch_size=20, epochs=2, verbose=0, callbacks=[recorder])
    recorder.finish()
    wrong = tt.open(tmp_path / "r").diagnose(model, rules=[ZeroInitialisation()]).wrong
    assert [finding.layers for finding in wrong] == [("table0", "table1")] * said


# --- what batches and validation show ------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "said"), [(3, True), (24, False)])
def test_small_batches_under_batch_norm(tmp_path: Path, rows: int, said: bool) -> None:
    model = stack(hidden(8, None), layers.BatchNormalization(name="norm"), layers.ReLU())
    wrong = diagnosed(tmp_path, model, TinyBatchesUnderBatchNorm(), epochs=1, batch_size=rows).wrong
    assert bool(wrong) == said
    if said:
        assert wrong[0].seen == "'norm' normalise by the statistics of batches of 3."


class Dropping(keras.Model):  # type: ignore[misc]
    """Hands on to its dropout what it is given, or True, or nothing."""

    def __init__(self, given: bool | None) -> None:
        super().__init__()
        self.given, self.drop = given, layers.Dropout(0.2, name="drop")
        self.head = Dense(4, activation="softmax")

    def call(self, x: Any, training: bool = False) -> Any:
        return self.head(self.drop(x, training=training if self.given is None else self.given))


class NotToldOf(Dropping):
    """Has no argument of that name: Keras tells the layers inside nothing."""

    def call(self, x: Any) -> Any:  # type: ignore[override]
        return self.head(self.drop(x))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Dropping(True), ["'drop': called with training=True in validation."]),
        (lambda: Dropping(False), ["'drop': called with training=False in training."]),
        (lambda: NotToldOf(None), ["'drop': called with training=False in training."]),
        (lambda: Dropping(None), []),
    ],
)
def test_dropout_in_the_wrong_mode(tmp_path: Path, build: Build, said: list[str]) -> None:
    wrong = diagnosed(tmp_path, of(build()), TrainingFlagIgnored(), 1, validation_data=(X, Y)).wrong
    assert [finding.seen for finding in wrong] == said


def test_nothing_is_trainable(tmp_path: Path) -> None:
    model = stack(hidden())
    model.trainable = False
    report = tt.lint(of(model), (X, Y), rules=[FrozenByMistake()])
    assert [finding.severity for finding in report.wrong] == [Severity.ERROR]
    assert "Nothing in the model is trainable" in report.wrong[0].seen


def test_random_features_are_a_note(tmp_path: Path) -> None:
    report = diagnosed(tmp_path, stack(frozen(hidden(64, "tanh"))), FrozenByMistake(), epochs=6)
    assert [finding.severity for finding in report.findings] == [Severity.NOTE]


def test_one_idle_layer_among_others_is_a_note() -> None:
    report = tt.lint(stack(hidden(), hidden(8, None, name="idle")), (X, Y), rules=[MissingActivation()])
    assert [finding.severity for finding in report.findings] == [Severity.NOTE]
    assert report.findings[0].seen == "1 of 2 hidden layers have no activation before the next one ('idle')."


def test_an_autoencoder_may_be_linear() -> None:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((6,)), Dense(5), Dense(2), Dense(5), Dense(6)])
    model.compile("sgd", "mse")
    assert tt.lint(model, (X, X), rules=[MissingActivation()]).ok


# --- what a model doesn't track ------------------------------------------------------------------------


class Holder:
    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def get(self) -> Any:
        return self.layer


class Made(keras.Model):  # type: ignore[misc]
    """Holds a layer in a way of its own."""

    def __init__(self, hold: Callable[[Any], Any], layer: Any) -> None:
        super().__init__()
        self.held, self.head = hold(layer), Dense(4, activation="softmax")

    def call(self, x: Any) -> Any:
        return self.head(x)


def function(layer: Any) -> Any:
    return lambda x: layer(x)


@pytest.mark.parametrize(
    ("hold", "where"),
    [
        (Holder, "Made.held.layer"),
        (function, "Made.held.layer"),
        (lambda layer: [function(layer)], "Made.held[0].layer"),
        (lambda layer: {"a": Holder(layer)}, "Made.held['a'].layer"),
        (lambda layer: Holder(layer).get, "Made.held.layer"),
        (lambda layer: [layer], None),
        (lambda layer: Holder(frozen(layer)), None),
    ],
)
def test_what_is_held_out_of_sight(hold: Any, where: str | None) -> None:
    keras.utils.set_random_seed(1)
    layer = Dense(6)
    layer.build((None, 6))
    report = tt.lint(of(Made(hold, layer)), (X, Y), rules=[UntrackedWeights()])
    assert [finding.seen for finding in report.wrong] == ([f"Keras doesn't track {where}."] if where else [])


def test_a_lambda_that_holds_a_layer() -> None:
    lost = Dense(6)
    lost.build((None, 6))
    model = stack(layers.Lambda(lambda x: lost(x), output_shape=(6,), name="hides"))
    report = tt.lint(model, (X, Y), rules=[UntrackedWeights()])
    assert [finding.seen for finding in report.wrong] == ["Keras doesn't track hides.lost."]


head = Dense(4)  # a global of the name of an attribute, which `call` doesn't read


def test_a_global_of_an_attributes_name_is_another() -> None:
    assert tt.lint(of(Plain(bend=True)), (X, Y), rules=[UntrackedWeights()]).ok


def test_layers_made_in_call() -> None:
    class Anew(layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            return layers.Dense(4)(x)

    class Kept(layers.Layer):  # type: ignore[misc]
        def call(self, x: Any) -> Any:
            if not hasattr(self, "dense"):
                self.dense = layers.Dense(4)
            return self.dense(x)

    from truetap.facts.untracked import _made_in

    assert _made_in(Anew.call) == ["Dense"]
    assert _made_in(Kept.call) == []


# --- helpers, against a few lines of NumPy -------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 60), (3, 3, 8, 16)])
@pytest.mark.parametrize(
    "initializer",
    [
        initializers.GlorotUniform(seed=1),
        initializers.GlorotNormal(seed=1),
        initializers.HeNormal(seed=1),
        initializers.HeUniform(seed=1),
        initializers.LecunNormal(seed=1),
        initializers.RandomNormal(0.5, 0.2, seed=1),
        initializers.TruncatedNormal(0.0, 0.3, seed=1),
        initializers.RandomUniform(-0.2, 0.4, seed=1),
    ],
)
def test_what_initializers_draw(initializer: Any, shape: tuple[int, ...]) -> None:
    values = ops.convert_to_numpy(initializer(shape))
    config = {key: value for key, value in initializer.get_config().items() if isinstance(value, float | int)}
    expected = drawn(f"{type(initializer).__name__}({', '.join(f'{k}={v:g}' for k, v in config.items())})", shape)
    assert expected is not None
    np.testing.assert_allclose(values.std(), expected.std, rtol=0.08)
    assert still_as_drawn(expected, values.mean(), values.std(), values.size)
    assert not still_as_drawn(expected, values.mean(), 1.4 * values.std(), values.size)
    assert not still_as_drawn(expected, values.mean() + expected.std, values.std(), values.size)


def test_how_much_is_learnt(tmp_path: Path) -> None:
    model = stack(hidden())
    recorder = tt.Recorder(tmp_path / "r", taps="diagnose")
    model.fit(X, Y, epochs=4, batch_size=24, verbose=0, callbacks=[recorder])
    recorder.finish()
    evidence = Evidence(tt.open(tmp_path / "r"))
    assert evidence.labelled is not None
    (output,) = evidence.labelled
    rows = output.last
    assert rows.y_true is not None
    assert output.first.y_true is not None
    most = np.bincount(Y).max() / len(Y)
    expected = (np.mean(rows.y_pred.argmax(1) == rows.y_true.ravel()) - most) / (1 - most)
    found = skill(output, rows)
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert best_skill(evidence) == skill(output, rows)

    recorded = tt.open(tmp_path / "r").inputs("x", phase="train")
    x = recorded.values.reshape(200, -1).astype(float)
    label = dict(zip(output.first.ids.tolist(), output.first.y_true.ravel().tolist(), strict=True))
    y = np.asarray([label[each] for each in recorded.ids.tolist()])
    x = (x - x.mean(0)) / x.std(0)
    votes = []
    for at in range(len(x)):
        far = ((x - x[at]) ** 2).sum(1)
        far[at] = np.inf
        votes.append(np.bincount(y[np.argsort(far)[:5]].astype(int), minlength=4).argmax())
    most = np.bincount(y.astype(int)).max() / len(y)
    found = neighbours_skill(evidence, output)
    assert found is not None
    np.testing.assert_allclose(found, (np.mean(votes == y) - most) / (1 - most), atol=0.02)  # ties of distances


def test_ways_between_layers() -> None:
    from truetap.diagnosis.wiring import Wiring

    def layer(
        path: str, kind: str, after: tuple[str, ...], ins: int = 0, units: int | None = None, **more: Any
    ) -> LayerFacts:
        weights = (WeightFacts(f"{path}/kernel", (ins, units), True),) if ins and units else ()
        return LayerFacts(path, kind, after=after, units=units, weights=weights, **more)

    every = (
        layer("a", "Dense", (), 6, 9, activation="linear"),
        layer("drop", "Dropout", ("a",)),
        layer("b", "Dense", ("drop",), 9, 5, activation="linear"),
        layer("add", "Add", ("b", "drop")),
        layer("c", "Dense", ("add",), 5, 4, activation="linear"),
        layer("soft", "Softmax", ("c",), activation="softmax"),
    )
    train = PhaseFacts(calls=("a", "drop", "b", "add", "c", "soft"), x=(ArrayFacts("", (None, 6), "float32"),))
    wiring = Wiring(Facts(ModelFacts("m", "functional", every, (OutputFacts("", "soft"),)), None, {"train": train}))
    assert wiring.ends == {"c", "soft"}
    assert [each.path for each in wiring.hidden] == ["a", "b"]
    assert wiring.bends == ("add",)
    assert wiring.stacked == ()  # a feeds b and the sum
    assert wiring.activation("c") == "softmax"
    assert wiring.known
    assert [path for path in wiring.layers if wiring.cuts(path)] == ["a", "drop", "add"]
