"""Metrics fit for the task: streamed, weighted, without padding, computed by scikit-learn.

Importing this package imports scikit-learn; `truetap` does so when metrics are first asked for. One
pass over the samples; memory for one chunk, counts, and the scores as far as the limit allows. Not
for metrics during training: those are Keras'.
"""

from truetap.evaluation.chunk import Chunk
from truetap.evaluation.evaluator import evaluate
from truetap.evaluation.probability import Calibration
from truetap.evaluation.result import ClassRow, Evaluation, OutputRow, StepRow
from truetap.evaluation.slices import evaluate_slices

__all__ = [
    "Calibration",
    "Chunk",
    "ClassRow",
    "Evaluation",
    "OutputRow",
    "StepRow",
    "evaluate",
    "evaluate_slices",
]
