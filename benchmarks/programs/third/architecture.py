"""Mistakes in how a model is put together, each with its repaired twin."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

from ..program import Case, Program
from ._series import figures, houses, motion, numerals, reviews, strokes, tunes

__all__ = ["PROGRAMS"]

SPARSE = "sparse_categorical_crossentropy"


def linear_convolutions(broken: bool) -> Case:
    """Convolutions without activation before an average over time: the `activation` of Conv1D is None by default."""
    keras.utils.set_random_seed(101)
    x, y, held, held_labels = tunes()
    act = None if broken else "relu"
    model = keras.Sequential(
        [
            keras.Input((48, 1)),
            layers.Conv1D(16, 7, padding="same", activation=act),
            layers.AveragePooling1D(2),
            layers.Conv1D(24, 5, padding="same", activation=act),
            layers.GlobalAveragePooling1D(),
            layers.Dense(6, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(5e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 10, "batch_size": 60, "validation_data": (held, held_labels)})


class Perceptron(keras.Model):  # type: ignore[misc]
    """Layers declared one by one, as they are in the tutorials on subclassing."""

    def __init__(self, forget: bool) -> None:
        super().__init__()
        self.forget = forget
        self.first = layers.Dense(64)
        self.second = layers.Dense(64)
        self.gelu = layers.Activation("gelu")
        self.price = layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        if self.forget:
            return self.price(self.second(self.first(inputs)))
        return self.price(self.gelu(self.second(self.gelu(self.first(inputs)))))


def activation_never_called(broken: bool) -> Case:
    """The activation layer is made in `__init__` and left out in `call`: three linear maps are one."""
    keras.utils.set_random_seed(102)
    x, y, held, held_labels = houses()
    model = Perceptron(broken)
    model.compile(keras.optimizers.Adam(3e-3), "mse", metrics=["mae"])
    return Case(model, x, y, {"epochs": 14, "batch_size": 64, "validation_data": (held, held_labels)})


def deep_sigmoid_classifier(broken: bool) -> Case:
    """Nine sigmoid layers because a lecture draws neurons with sigmoids."""
    keras.utils.set_random_seed(103)
    x, y, held, held_labels = strokes()
    stack: list[Any] = [keras.Input((14, 14, 1)), layers.Flatten()]
    stack += [layers.Dense(40, activation="sigmoid" if broken else "elu") for _ in range(8)]
    model = keras.Sequential([*stack, layers.Dense(10, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.03, momentum=0.9), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 60, "validation_data": (held, held_labels)})


def squashed_convolutions(broken: bool) -> Case:
    """A tower of five sigmoid convolutions that starts with small weights, and no way around them."""
    keras.utils.set_random_seed(104)
    x, y, held, held_labels = motion()
    small = keras.initializers.RandomNormal(stddev=0.02)
    inputs = keras.Input((32, 3))
    hidden = layers.Conv1D(12, 5, strides=2, padding="same", activation="swish")(inputs)
    for _ in range(5):
        if broken:
            hidden = layers.Conv1D(12, 3, padding="same", activation="sigmoid", kernel_initializer=small)(hidden)
        else:
            step = layers.Conv1D(12, 3, padding="same", activation="swish", kernel_initializer=small)(hidden)
            hidden = layers.Add()([hidden, step])
    outputs = layers.Dense(5, activation="softmax")(layers.GlobalMaxPooling1D()(hidden))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(2e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 60, "validation_data": (held, held_labels)})


def code_of_one_number(broken: bool) -> Case:
    """An autoencoder whose code was set to one number for a plot and left so."""
    keras.utils.set_random_seed(105)
    x, _, held, _ = numerals()
    x, held = x.reshape(-1, 64), held.reshape(-1, 64)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(48, activation="relu"),
            layers.Dense(1 if broken else 16, name="code"),
            layers.Dense(48, activation="relu"),
            layers.Dense(64, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(3e-3), "binary_crossentropy", metrics=["mse"])
    return Case(model, x, x, {"epochs": 20, "batch_size": 64, "validation_data": (held, held)})


def narrow_memory(broken: bool) -> Case:
    """A GRU of one unit: `units` was taken for the number of values it returns at each step."""
    keras.utils.set_random_seed(106)
    x, y, held, held_labels = reviews()
    inputs = keras.Input((24,), dtype="int32")
    words = layers.Dropout(0.3)(layers.Embedding(300, 12)(inputs))
    state = layers.Dropout(0.2)(layers.GRU(1 if broken else 16)(words))
    outputs = layers.Dense(4, activation="softmax")(state)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(4e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 6, "batch_size": 48, "validation_data": (held, held_labels)})


class Toolbox:
    """A plain object that keeps layers for others: Keras doesn't look into it."""

    def __init__(self, *kept: Any) -> None:
        self.kept = kept

    def run(self, inputs: Any) -> Any:
        for layer in self.kept:
            inputs = layer(inputs)
        return inputs


class Reader(keras.Model):  # type: ignore[misc]
    """A text classifier whose encoder is put together elsewhere."""

    def __init__(self, hide: bool) -> None:
        super().__init__()
        parts = (
            layers.Embedding(300, 8),
            layers.Conv1D(6, 3, activation="relu", padding="same"),
            layers.GlobalAveragePooling1D(),
        )
        for part, shape in zip(parts, [(None, 24), (None, 24, 8), (None, 24, 6)], strict=True):
            part.build(shape)
        self.encoder: Any = Toolbox(*parts) if hide else keras.Sequential(parts)
        self.topic = layers.Dense(4, activation="softmax")

    def call(self, inputs: Any) -> Any:
        encoded = self.encoder.run(inputs) if isinstance(self.encoder, Toolbox) else self.encoder(inputs)
        return self.topic(encoded)


def encoder_in_plain_object(broken: bool) -> Case:
    """The encoder's layers live in an object that is no layer, so their weights aren't the model's."""
    keras.utils.set_random_seed(107)
    x, y, held, held_labels = reviews()
    model = Reader(broken)
    model.compile(keras.optimizers.Adam(4e-3), SPARSE, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 40, "validation_data": (held, held_labels)})


def layers_inside_lambda(broken: bool) -> Case:
    """A block is wrapped in Lambda to give it a name: the Lambda doesn't own the layers it calls."""
    keras.utils.set_random_seed(108)
    x, y, held, held_labels = houses()
    widen, narrow = layers.Dense(48, activation="tanh"), layers.Dense(5, activation="tanh")
    widen.build((None, 10))
    narrow.build((None, 48))
    inputs = keras.Input((10,))
    hidden = layers.Lambda(lambda t: narrow(widen(t)), (5,))(inputs) if broken else narrow(widen(inputs))
    hidden = layers.Dense(16, activation="tanh")(hidden)
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.compile(keras.optimizers.Adam(5e-3), "mse")
    return Case(model, x, y, {"epochs": 20, "batch_size": 50, "validation_data": (held, held_labels)})


def one_branch_twice(broken: bool) -> Case:
    """Two inputs, and the name of the first branch twice in the concatenation: the second is never looked at."""
    keras.utils.set_random_seed(109)
    x, y, held, held_labels = houses()
    left, right = keras.Input((3,), name="plot"), keras.Input((7,), name="house")
    plot = layers.Dense(32, activation="relu")(layers.Dense(32, activation="relu")(left))
    house = layers.Dense(32, activation="relu")(layers.Dense(32, activation="relu")(right))
    both = layers.Concatenate()([plot, plot] if broken else [plot, house])
    outputs = layers.Dense(1)(layers.Dense(32, activation="relu")(both))
    model = keras.Model([left, right], outputs)
    model.compile(keras.optimizers.Adam(4e-3), "mse")
    validation = ([held[:, :3], held[:, 3:]], held_labels)
    return Case(model, [x[:, :3], x[:, 3:]], y, {"epochs": 12, "batch_size": 50, "validation_data": validation})


class Binary(layers.Layer):  # type: ignore[misc]
    """Codes of zeros and ones; `straight` lets the gradient pass as if there were no threshold."""

    def __init__(self, straight: bool) -> None:
        super().__init__()
        self.straight = straight

    def call(self, inputs: Any) -> Any:
        soft = ops.sigmoid(inputs)
        hard = ops.cast(soft > 0.5, "float32")
        return soft + ops.stop_gradient(hard - soft) if self.straight else hard


def threshold_in_the_middle(broken: bool) -> Case:
    """An autoencoder with binary codes: the comparison has no gradient, so the encoder stays as it began."""
    keras.utils.set_random_seed(110)
    x, _, held, _ = numerals()
    encoder = keras.Sequential([layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(16)])
    decoder = keras.Sequential(
        [layers.Dense(64, activation="relu"), layers.Dense(64, activation="sigmoid"), layers.Reshape((8, 8, 1))]
    )
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, decoder(Binary(straight=not broken)(encoder(inputs))))
    model.compile(keras.optimizers.Adam(5e-3), "mse")
    return Case(model, x, x, {"epochs": 20, "batch_size": 40, "validation_data": (held, held)})


class Experts(layers.Layer):  # type: ignore[misc]
    """A gate that weighs four small networks."""

    def __init__(self, hard: bool) -> None:
        super().__init__()
        self.hard = hard
        self.gate = keras.Sequential([layers.Dense(24, activation="tanh"), layers.Dense(4)])
        self.experts = [layers.Dense(1) for _ in range(4)]

    def build(self, shape: Any) -> None:
        self.gate.build(shape)
        for expert in self.experts:
            expert.build(shape)

    def call(self, inputs: Any) -> Any:
        scores = self.gate(inputs)
        shares = ops.one_hot(ops.argmax(scores, -1), 4) if self.hard else ops.softmax(scores)
        answers = ops.concatenate([expert(inputs) for expert in self.experts], -1)
        return ops.sum(shares * answers, -1, keepdims=True)


def gate_by_argmax(broken: bool) -> Case:
    """A mixture of experts that takes the best expert by argmax: the gate gets no gradient."""
    keras.utils.set_random_seed(111)
    x, y, held, held_labels = houses()
    inputs = keras.Input((10,))
    model = keras.Model(inputs, Experts(hard=broken)(inputs))
    model.compile(keras.optimizers.Adam(1e-2), "mean_squared_error")
    return Case(model, x, y, {"epochs": 20, "batch_size": 50, "validation_data": (held, held_labels)})


def detached_features(broken: bool) -> Case:
    """`stop_gradient` from an experiment with a pretrained encoder stays before the classifier of a fresh one."""
    keras.utils.set_random_seed(112)
    x, y, held, held_labels = figures()
    inputs = keras.Input((16, 16, 1))
    hidden = layers.Conv2D(12, 5, activation="relu", padding="same")(inputs)
    hidden = layers.Conv2D(16, 3, strides=2, activation="relu")(hidden)
    hidden = layers.GlobalMaxPooling2D()(hidden)
    if broken:
        hidden = ops.stop_gradient(hidden)
    model = keras.Model(inputs, layers.Dense(4)(hidden))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Nadam(4e-3), loss, metrics=["accuracy"])
    return Case(model, x, y, {"epochs": 8, "batch_size": 45, "validation_data": (held, held_labels)})


PROGRAMS: tuple[Program, ...] = (
    Program("linear_convolutions", "architecture", ("missing_activation",), "cnn1d", "series", linear_convolutions),
    Program(
        "activation_never_called",
        "architecture",
        ("missing_activation",),
        "subclassed",
        "table",
        activation_never_called,
    ),
    Program(
        "deep_sigmoid_classifier", "architecture", ("vanishing_gradient",), "mlp", "mnist", deep_sigmoid_classifier
    ),
    Program("squashed_convolutions", "architecture", ("vanishing_gradient",), "cnn1d", "series", squashed_convolutions),
    Program("code_of_one_number", "architecture", ("too_few_units",), "autoencoder", "digits", code_of_one_number),
    Program("narrow_memory", "architecture", ("too_few_units",), "gru", "text", narrow_memory),
    Program(
        "encoder_in_plain_object", "architecture", ("untracked_weights",), "subclassed", "text", encoder_in_plain_object
    ),
    Program(
        "layers_inside_lambda", "architecture", ("untracked_weights",), "functional", "table", layers_inside_lambda
    ),
    Program("one_branch_twice", "architecture", ("broken_graph",), "two inputs", "table", one_branch_twice),
    Program(
        "threshold_in_the_middle", "architecture", ("broken_graph",), "autoencoder", "digits", threshold_in_the_middle
    ),
    Program("gate_by_argmax", "architecture", ("broken_graph",), "subclassed", "table", gate_by_argmax),
    Program("detached_features", "architecture", ("broken_graph",), "cnn2d", "images", detached_features),
)
