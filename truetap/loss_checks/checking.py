"""`check_loss`: the rules, one after the other, over one batch."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import Any

import keras
import numpy as np

from truetap.backends.loss_probe import Array, loss_probe
from truetap.backends.tensors import is_ragged, to_host
from truetap.errors import LossError
from truetap.loss_checks.evidence import Batch, Evidence
from truetap.loss_checks.report import LossReport
from truetap.loss_checks.rules import RULES
from truetap.loss_checks.subject import subject_of
from truetap.rules.rule import Rule
from truetap.rules.running import run_rules
from truetap.structure import map_leaves

__all__ = ["check_loss"]

_MOST_ROWS = 16  # of a batch: each rule runs the loss on it several times


def check_loss(
    loss: Any,
    y_true: Any,
    y_pred: Any,
    sample_weight: Any = None,
    *,
    x: Any = None,
    rules: Sequence[Rule[Evidence]] | None = None,
    ignore: Collection[str] = (),
) -> LossReport:
    """Runs a loss on a batch in many ways, and says what is wrong with it.

    Looked for are: implicit broadcasting, a reduction that makes weights meaningless, averages over masked
    elements, gradients that are missing, wrong or not finite, labels and outputs swapped or a sign turned round,
    results that depend on the batch, batches of other sizes or of unknown size, float16, settings that are lost when
    saved. What is said doesn't depend on the backend. Everything is run on at most the first 16 samples.

    Args:
        loss: A name of Keras', a `keras.losses.Loss` (class or instance), or a function
            `(y_true, y_pred)` of tensors.
        y_true: Labels as the model will be trained with, shape (n, …), n at least 2.
        y_pred: Outputs such as the model gives, shape (n, …), floats. Not from a trained model only:
            where every output is right already, little can be seen.
        sample_weight: Weights as they will be given to `fit`, shape (n,) or (n, …); None without.
        x: Inputs of the batch, arrays of n rows nested as the model gets them, for a loss that asks for
            them (`tt.losses.Contextual`).
        rules: Rules to run; by default those of truetap.
        ignore: Names of rules to leave out, such as "batch_statistics" for a contrastive loss.

    Returns:
        A report: `report.ok`, `report.findings`, `report.raise_if_wrong()`.

    Raises:
        LossError: What was given is no loss or no batch: several outputs, lengths that differ, fewer
            than 2 samples.

    Example:
        >>> def squared(y_true, y_pred):
        ...     return keras.ops.mean(keras.ops.square(y_true - y_pred))
        >>> report = check_loss(squared, np.zeros((4, 1)), np.ones((4, 1)))
        >>> [finding.rule for finding in report.findings]
        ['reduced_before_weights']
        >>> check_loss("mse", np.zeros((4, 1)), np.ones((4, 1))).ok
        True
    """
    true, pred = _array("y_true", y_true), _array("y_pred", y_pred)
    weight = None if sample_weight is None else _array("sample_weight", sample_weight)
    _check_batch(true, pred, weight)
    few = slice(_MOST_ROWS)
    weight = None if weight is None else weight[few]
    inputs = map_leaves(lambda leaf: None if leaf is None else to_host(leaf)[few], x)
    batch = Batch(true[few], pred[few].astype(np.float32), weight, inputs)
    evidence = Evidence(subject_of(loss, batch.y_true, batch.y_pred), batch, loss_probe())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the loss' own, said again in each of its runs
        answers = run_rules(RULES if rules is None else rules, evidence, ignore, LossError)
    name = evidence.subject.name
    return LossReport(
        f"Loss {name!r}", keras.backend.backend(), answers.findings, answers.checked, answers.skipped, loss=name
    )


def _array(name: str, value: Any) -> Array:
    if isinstance(value, dict | tuple) or is_ragged(value):
        raise LossError(
            f"check_loss looks at one output at a time. Received: {name} of type {type(value).__name__}. Call it for "
            "each output with its own loss, and pad ragged values."
        )
    array = to_host(value)
    if array.dtype.kind not in "fiub":
        raise LossError(f"{name} must hold numbers. Received: dtype {array.dtype}.")
    return array


def _check_batch(y_true: Array, y_pred: Array, weight: Array | None) -> None:
    shapes = f"y_true {y_true.shape}, y_pred {y_pred.shape}" + ("" if weight is None else f", weights {weight.shape}")
    parts = [each for each in (y_true, y_pred, weight) if each is not None]
    if any(not each.ndim for each in parts) or len({len(each) for each in parts}) != 1 or len(y_pred) < 2:
        raise LossError(
            f"A batch of at least 2 samples is needed, all parts of one length. Received: {shapes}. Give the "
            "values of a batch as the loss would get them, such as y[:16] and model.predict(x[:16])."
        )
    if y_pred.dtype.kind != "f":
        raise LossError(
            f"y_pred holds what a model gives: floats. Received: dtype {y_pred.dtype}. The loss is called as "
            "loss(y_true, y_pred), labels first."
        )
    if not np.isfinite(y_pred).all():
        raise LossError("y_pred holds NaN or infinities: nothing could be told from it. Give finite outputs.")
