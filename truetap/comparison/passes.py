"""Which samples of two runs are compared: those of one phase, in the last epoch that each has of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from truetap.errors import NotRecordedError
from truetap.reading.choice import choose_phase
from truetap.samples import Samples

if TYPE_CHECKING:
    from truetap.run import Run

__all__ = ["Pass", "common_passes"]

_BY_DEFAULT = ("val", "train", "test", "predict")


@dataclass(frozen=True, eq=False)
class Pass:
    """The samples of one pass.

    Attributes:
        phase: The phase; "" of a collection, which has none.
        epoch: The epoch; None of a collection.
        samples: The rows.
    """

    phase: str
    epoch: int | None
    samples: Samples


def common_passes(here: Run, there: Run, phase: str | None) -> tuple[tuple[Pass, Pass] | None, list[str]]:
    """The passes that are compared, and what to say of them; None where the runs have no phase in common.

    Args:
        here: A run.
        there: Another.
        phase: The phase that is meant; by default the first of val, train, test, predict that both have.

    Raises:
        NotRecordedError: A phase was named that one of them doesn't have.
    """
    recorded = [run.sample_epochs for run in (here, there)]
    several = [each for each in recorded if each]  # a collection has one pass and no phase
    empty = [run for run, each in zip((here, there), recorded, strict=True) if not each and "samples" not in run.tables]
    if empty and phase is None:
        return None, [f"No samples are compared: {' and '.join(run.path for run in empty)} recorded none."]
    if phase is not None:
        if not several:
            raise NotRecordedError(
                f"These runs are collections, which have no phases. Received: phase={phase!r}. Expected: phase=None."
            )
        for each in several:
            choose_phase(phase, each)
        chosen: str | None = phase
    else:
        chosen = next((name for name in _BY_DEFAULT if all(name in each for each in several)), None)
    if chosen is None and several:
        listed = [", ".join(map(repr, each)) or "none" for each in recorded]
        return None, [
            f"No samples are compared: the runs have no phase in common. Here: {listed[0]}; there: {listed[1]}."
        ]
    passes = [_pass(run, chosen, each) for run, each in zip((here, there), recorded, strict=True)]
    notes = []
    if chosen == "train":
        notes.append(
            "Each prediction of training precedes the update of its step, and has dropout where the model has."
        )
    return (passes[0], passes[1]), notes


def _pass(run: Run, phase: str | None, recorded: dict[str, list[int]]) -> Pass:
    if phase is None or not recorded:
        return Pass("", None, run.samples())
    epoch = recorded[phase][-1]
    return Pass(phase, epoch, run.samples(phase, epoch))
