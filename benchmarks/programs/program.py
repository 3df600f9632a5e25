"""What a program of the bed is: a mistake people make with Keras, and the same program without it.

`CAUSES` is the vocabulary in which the bed says what is wrong, fixed before any rule was written; rules of
`run.diagnose()` and `tt.lint` are named by the same words, and a finding counts when its rule is one of a program's
causes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

__all__ = ["CAUSES", "Case", "Healthy", "Program"]

# kind of the taxonomy -> causes
CAUSES: dict[str, dict[str, str]] = {
    "output_loss": {
        "probabilities_as_logits": "softmax or sigmoid on the output, and a loss with from_logits=True",
        "logits_as_probabilities": "no activation on the output, and a cross-entropy that expects probabilities",
        "softmax_on_one_unit": "softmax over a single unit: always 1",
        "output_range": "the last activation can't reach the targets (sigmoid, tanh, ReLU, softmax on regression)",
        "loss_activation_mismatch": "softmax with binary_crossentropy, sigmoid with categorical_crossentropy, …",
        "loss_unsuited_to_task": "a regression loss on class indices, a class loss on continuous targets",
    },
    "custom_loss": {
        "implicit_broadcast": "(N,) against (N, 1) in a loss: an (N, N) matrix is averaged",
        "swapped_arguments": "a loss called with (y_pred, y_true), or written in that order",
        "reduced_before_weights": "the loss returns one number: sample weights can't apply to samples",
        "mean_over_masked": "masked elements are zeroed and still counted in the mean",
        "no_gradient_through_loss": "argmax, round, > or a detour over NumPy in the loss: no or zero gradient",
        "log_or_root_of_zero": "log(0), sqrt(0), division by zero in the loss or in the model",
    },
    "target_encoding": {
        "labels_out_of_range": "class indices at or beyond the number of units, or negative",
        "labels_scaled": "class labels divided by something, standardised, or fractions",
        "label_encoding": "one-hot with a sparse loss, integers with a categorical one, -1 and 1 with cross-entropy",
        "wrong_number_of_units": "the output has more or fewer units than there are classes or targets",
    },
    "data_quality": {
        "unscaled_inputs": "features of very large or very different magnitude",
        "nan_in_data": "NaN or infinity in inputs or labels",
        "noisy_labels": "a good part of the labels is wrong",
        "misaligned_labels": "inputs and labels are not of the same rows (one was shuffled, shifted)",
        "train_validation_overlap": "validation samples are also trained on",
        "class_imbalance": "one class is rare, and the model ignores it",
        "constant_features": "inputs that carry no information: constant, or one and the same for all samples",
    },
    "data_pipeline": {
        "not_shuffled": "sorted by class or target, and not shuffled",
        "validation_preprocessed_differently": "train scaled, validation not, or by other statistics",
        "padding_counted": "padded timesteps are learnt and averaged as if they were data",
        "axes_scrambled": "reshape instead of transpose: pixels or timesteps in the wrong places",
    },
    "architecture": {
        "missing_activation": "several linear layers one upon another",
        "vanishing_gradient": "deep and saturating: next to no gradient in the first layers",
        "too_few_units": "a bottleneck through which what is needed can't pass",
        "untracked_weights": "weights or layers that the model doesn't know of, and so doesn't train",
        "broken_graph": "stop_gradient, a detour over NumPy, a branch that is not used: weights without gradient",
    },
    "initialisation": {
        "zero_initialisation": "all weights of a layer equal: units stay copies of each other, or get no gradient",
        "dead_relu": "most units of a layer never fire",
        "saturated_units": "tanh or sigmoid units stuck at their ends",
        "initial_weights_too_large": "activations, logits and loss far too large at the start",
    },
    "optimisation": {
        "learning_rate_too_high": "the loss diverges or leaps about",
        "learning_rate_too_low": "next to nothing changes",
        "negative_learning_rate": "the loss is climbed: negative rate, or a loss with the wrong sign",
        "exploding_gradient": "gradients grow through depth or time until nothing else matters",
        "clipping_too_tight": "clipnorm or clipvalue so small that it is the learning rate",
        "schedule_dies": "the learning rate decays to next to nothing long before the end",
    },
    "regularisation": {
        "dropout_too_high": "so much is dropped that too little can be learnt",
        "penalty_too_strong": "the weight penalty outweighs the loss",
        "tiny_batches_under_batch_norm": "batch statistics of one to four samples",
        "training_flag_ignored": "dropout or batch norm in the wrong mode: always on, or never",
    },
    "training_config": {
        "frozen_by_mistake": "layers that should learn are not trainable",
        "inverted_class_weights": "the common class has the large weight",
        "zero_sample_weights": "most samples weigh nothing",
        "unsuited_metric": "accuracy on regression, binary accuracy on class indices, threshold at 0.5 on logits, …",
        "early_stopping_wrong_way": "monitor and mode that stop when things get better",
        "too_few_epochs": "training ends while everything still improves fast",
    },
    # of no kind of the taxonomy, and true of some programs beside their cause
    "consequence": {
        "overfitting": "the gap between training and validation grows, validation gets worse",
        "collapsed_predictions": "one answer for all samples",
    },
}


@dataclass(frozen=True)
class Case:
    """A compiled model, and what its `fit` is called with."""

    model: keras.Model
    x: Any
    y: Any = None
    fit: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A broken program and its repaired twin: `build(True)` and `build(False)`."""

    name: str
    kind: str
    causes: tuple[str, ...]
    family: str
    data: str
    build: Callable[[bool], Case]

    def __post_init__(self) -> None:
        known = {cause for causes in CAUSES.values() for cause in causes}
        unknown = set(self.causes) - known
        if unknown or not self.causes or self.kind not in CAUSES:
            raise ValueError(f"Program {self.name!r}: unknown kind {self.kind!r} or causes {sorted(unknown)}.")


@dataclass(frozen=True)
class Healthy:
    """A program that looks odd and is sound."""

    name: str
    family: str
    data: str
    build: Callable[[], Case]
