"""What becomes of the labels: swapped with the outputs, cut to whole numbers, rounded to float32."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from truetap.backends.tensors import to_host
from truetap.loss_checks.evidence import Evidence, attempt
from truetap.loss_checks.numbers import same, shown
from truetap.rules.finding import Finding, Severity

__all__ = ["LabelsRounded", "LabelsTruncated", "SwappedArguments"]

_OUTPUTS = frozenset({
    "y_pred", "pred", "preds", "prediction", "predictions", "predicted", "output", "outputs", "logits", "probs",
    "y_hat", "yhat", "y_score",
})  # fmt: skip
_LABELS = frozenset({
    "y_true", "true", "target", "targets", "label", "labels", "truth", "ground_truth", "gt", "y", "actual", "actuals",
})  # fmt: skip


class SwappedArguments:
    """Labels taken for outputs: by the names of the parameters, or in a call of another loss.

    Keras calls `loss(y_true, y_pred)` by position. Told by parameters named the other way round, or by a call in the
    source that hands the two on the other way round; and only where the exchange changes the number on the batch.
    """

    name = "swapped_arguments"
    needs: tuple[str, ...] = ("values",)
    after = ("value_in_python", "implicit_broadcast")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        seen = self._by_name(evidence) or self._by_call(evidence)
        if seen is not None:
            yield Finding(
                self.name,
                Severity.ERROR,
                seen,
                "Keras calls loss(y_true, y_pred), by position: the loss minimises another quantity.",
                "Put y_true first, in the definition and in each call.",
                reference="keras-team/keras#12878",
            )

    def _by_name(self, evidence: Evidence) -> str | None:
        names = evidence.subject.parameters
        if len(names) < 2 or names[0].lower() not in _OUTPUTS or names[1].lower() not in _LABELS:
            return None
        here = evidence.total(evidence.y_true, evidence.y_pred).value
        turned = evidence.total(evidence.y_pred, evidence.y_true).value
        if here is not None and turned is not None and same(here, turned):
            return None  # the formula is symmetric
        return f"Its parameters are named ({names[0]}, {names[1]}), so {names[0]!r} holds the labels."

    def _by_call(self, evidence: Evidence) -> str | None:
        """A call of a loss with the two the wrong way round, where that makes a difference."""
        names = evidence.subject.parameters
        for called, text in _turned_calls(evidence.subject.code, names):
            tensors = [ops.convert_to_tensor(each, dtype="float32") for each in (evidence.y_true, evidence.y_pred)]
            right, wrong = _mean_of(called, tensors), _mean_of(called, tensors[::-1])
            if wrong is None or right is None or same(right, wrong):
                continue
            here = evidence.total(evidence.y_true, evidence.y_pred).value
            if here is None or not same(here, right):  # else the call is in a branch that isn't taken
                return f"It calls {text}: {shown(wrong)} for this batch, {shown(right)} the right way round."
        return None


class LabelsTruncated:
    """The fractions of the labels make no difference: the loss casts labels to integers.

    Exact: cut to whole numbers, labels give the same loss to the last bit; moved by 1, they don't.
    """

    name = "labels_truncated"
    needs: tuple[str, ...] = ("values", "repeatable")
    after = ("value_in_python", "swapped_arguments", "implicit_broadcast")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        y_true = evidence.y_true
        if y_true.dtype.kind != "f" or not np.isfinite(y_true).all() or np.array_equal(y_true, np.trunc(y_true)):
            return
        given, cut, moved = (
            evidence.unreduced(each, evidence.y_pred).value for each in (y_true, np.trunc(y_true), np.trunc(y_true) + 1)
        )
        if given is None or cut is None or moved is None:
            return
        if np.array_equal(given, cut) and not np.array_equal(given, moved):
            yield Finding(
                self.name,
                Severity.WARNING,
                f"y_true holds fractions (such as {shown(float(y_true[y_true != np.trunc(y_true)][0]))}); without "
                "them the loss is the same.",
                "The loss casts labels to integers, which cuts them off.",
                "Cast to the dtype of y_pred, or give class indices if classes are meant.",
                where="y_true",
            )


class LabelsRounded:
    """Whole numbers beyond 2**24 lose digits when Keras casts labels to float32, the dtype of a loss by default.

    Exact: labels that come out as other numbers are counted. Such as ids that were put into y_true.
    """

    name = "labels_rounded"
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        y_true = evidence.y_true
        if y_true.dtype.kind not in "iu" or evidence.subject.loss.dtype != "float32":
            return
        changed = y_true.astype(np.float32).astype(np.float64) != y_true
        if changed.any():
            first = int(y_true[changed][0])
            yield Finding(
                self.name,
                Severity.WARNING,
                f"{int(changed.sum())} labels change when Keras casts them to float32, such as {first} to "
                f"{int(np.float32(first))}.",
                "A float32 holds whole numbers up to 2**24 only; ids in y_true come out as other ids.",
                "Keep ids out of y_true (tt.with_ids carries them), or give the loss dtype='float64'.",
                where="y_true",
            )


def _mean_of(loss: Any, tensors: list[Any]) -> float | None:
    return attempt(lambda: float(np.mean(to_host(loss(*tensors))))).value


def _turned_calls(code: Any, names: tuple[str, ...]) -> Iterator[tuple[Any, str]]:
    """Calls f(second, first) in the source of a loss, where f is a loss of (labels, outputs)."""
    if len(names) < 2:
        return
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(code)))
        scope = inspect.getclosurevars(code)
    except (OSError, TypeError, SyntaxError, ValueError):  # no source: made in a shell, or a lambda in an expression
        return
    known = {**scope.builtins, **scope.globals, **scope.nonlocals}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or len(node.args) < 2:
            continue
        given = [each.id if isinstance(each, ast.Name) else None for each in node.args[:2]]
        called = _resolved(node.func, known)
        if given == [names[1], names[0]] and called is not None:
            yield called, ast.unparse(node)


def _resolved(function: ast.expr, known: dict[str, Any]) -> Any:
    """What a dotted name, or a loss made in place, stands for; None where it takes no (labels, outputs)."""
    if isinstance(function, ast.Call) and not function.args and not function.keywords:
        made = _resolved_name(function.func, known)
        return made() if isinstance(made, type) and issubclass(made, keras.losses.Loss) else None
    found = _resolved_name(function, known)
    if isinstance(found, keras.losses.Loss):
        return found
    if not inspect.isfunction(found):
        return None
    parameters = tuple(inspect.signature(found).parameters)[:2]
    labels_first = len(parameters) == 2 and parameters[0].lower() in _LABELS and parameters[1].lower() in _OUTPUTS
    return found if labels_first else None


def _resolved_name(function: ast.expr, known: dict[str, Any]) -> Any:
    if isinstance(function, ast.Name):
        return known.get(function.id)
    if isinstance(function, ast.Attribute):
        return getattr(_resolved_name(function.value, known), function.attr, None)
    return None
