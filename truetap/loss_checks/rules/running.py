"""Does the loss run: as it is, and under the trace in which `fit` runs it?"""

from __future__ import annotations

from collections.abc import Iterator

from truetap.loss_checks.evidence import Evidence
from truetap.rules.finding import Finding, Severity

__all__ = ["DoesNotRun", "DoesNotTrace", "DynamicShape", "NotRepeatable", "ValueInPython"]


class DoesNotRun:
    """The loss raises on the batch that it was given.

    Exact; what takes the value of a tensor into Python is told apart (value_in_python).
    """

    name = "does_not_run"
    needs: tuple[str, ...] = ()
    after = ("unaligned_ranks",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        error = evidence.ran.error
        if error is None:
            error = evidence.total(evidence.y_true, evidence.y_pred).error
        if error is not None and not evidence.probe.took_value(error):
            yield Finding(
                self.name,
                Severity.ERROR,
                f"y_true {evidence.y_true.shape} {evidence.y_true.dtype} and y_pred {evidence.y_pred.shape} raise "
                f"{type(error).__name__}: {_short(error)}",
                "Nothing can be trained with it.",
                "Check what the loss expects of the two shapes, and that it returns a tensor; a loss that needs inputs "
                "is checked with x=.",
            )


class ValueInPython:
    """The loss asks a tensor for its value: NumPy, `float()`, `if`.

    Exact: the error that it raises under a trace, or, on torch, where there is none, the calls that were seen. It is
    said on all three backends, since what works on one fails, or is wrong, on the others.
    """

    name = "value_in_python"
    needs: tuple[str, ...] = ()
    after = ("does_not_run", "unaligned_ranks")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        errors = [each for each in (evidence.ran.error, evidence.traced.error) if each is not None]
        taken = next((each for each in errors if evidence.probe.took_value(each)), None)
        asked = () if evidence.graph is None else evidence.graph.values_taken
        if taken is None and not asked:
            return
        yield Finding(
            self.name,
            Severity.ERROR,
            "The loss takes the value of a tensor into Python or NumPy"
            + (f" by {', '.join(asked)}." if asked else f" ({type(taken).__name__})."),
            "Under the trace of a compiled step there is no value yet (TensorFlow and JAX raise); on torch the "
            "gradient ends there, or one branch is taken for the whole batch.",
            "Compute with keras.ops on tensors: ops.where instead of if, ops.log instead of np.log.",
        )


class DynamicShape:
    """A shape inside the loss depends on values: boolean indexing, `nonzero`.

    Exact: seen in the trace of the loss, or in the error that it raises there. JAX, and XLA on TensorFlow, can't
    compile it.
    """

    name = "dynamic_shape"
    needs: tuple[str, ...] = ("values",)
    after = ("value_in_python", "does_not_run", "unaligned_ranks")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        error = evidence.traced.error
        refused = error is not None and evidence.probe.wanted_values_for_shape(error)
        graph = evidence.graph
        if refused or (graph is not None and "nonzero" in {node.op for node in graph.nodes}):
            yield Finding(
                self.name,
                Severity.WARNING,
                "The loss picks elements by a condition (values[mask], nonzero), so that a shape depends on values.",
                "JAX can't trace that, nor can XLA compile it on TensorFlow (jit_compile=True).",
                "Multiply by the mask, or use ops.where, and divide by the number of valid elements.",
                where="nonzero",
            )


class DoesNotTrace:
    """The loss runs op by op, but not under the trace in which `fit` compiles it.

    Exact, and what is left: reasons that are known have rules of their own.
    """

    name = "does_not_trace"
    needs: tuple[str, ...] = ("values",)
    after = ("value_in_python", "dynamic_shape")

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        error = evidence.traced.error
        if error is not None:
            yield Finding(
                self.name,
                Severity.ERROR,
                f"It runs on arrays, and raises under the trace of a compiled step: {type(error).__name__}: "
                f"{_short(error)}",
                "fit compiles the step unless run_eagerly=True.",
                "Use keras.ops on tensors only, with shapes that don't depend on values.",
            )


class NotRepeatable:
    """Two runs on one batch give two results.

    A note where the loss draws random numbers by Keras; a warning where nothing in its trace draws any: it depends on
    Python's state or NumPy's random numbers, which a compiled step reads once and keeps.
    """

    name = "not_repeatable"
    needs: tuple[str, ...] = ("values",)
    after = ("value_in_python",)

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        if evidence.repeatable:
            return
        drawn = evidence.draws
        yield Finding(
            self.name,
            Severity.NOTE if drawn else Severity.WARNING,
            "The loss draws random numbers."
            if drawn
            else "Two runs on the same batch give different values, and no operation in it draws random numbers.",
            "Checks that compare two runs were left out."
            if drawn
            else "It depends on Python state or NumPy's random numbers: a compiled step reads those once, when it is "
            "traced, and keeps what it read.",
            "" if drawn else "Keep state in a keras.Variable, and draw by keras.random with a SeedGenerator.",
            reference=None if drawn else "tensorflow/tensorflow#54234",
        )


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or "(no message)"
    return text if len(text) <= 300 else f"{text[:300]}…"
