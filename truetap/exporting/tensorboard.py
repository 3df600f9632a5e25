"""A run for TensorBoard: `tensorboard --logdir PATH`.

Each phase is a run of TensorBoard: `train`, `val`, …. In it `step/loss` and its like have a point for each step, which
are counted over the run within the phase; `epoch/loss` has one for each epoch, and `val_loss` is `epoch/loss` of `val`:
both stand in one chart. `activations/conv/mean` is a statistic, `activations/conv` a histogram of raw values.
Projector: see `projector`. A tag is the recorded name; what UTF-8 can't say becomes a question mark. All events have
the time at which the run began: look at them by step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from urllib.parse import quote

from truetap.errors import StoreError
from truetap.exporting.chosen import Chosen
from truetap.exporting.distributions import Distributions, Histogram
from truetap.exporting.event_files import EventFile
from truetap.exporting.naming import Distinct, valid_text
from truetap.exporting.projector import write_projector
from truetap.exporting.series import begun, by_epoch, by_step
from truetap.exporting.target import files_in, new_folder

__all__ = ["write"]


def write(chosen: Chosen, path: str, *, points: int = 10_000, layers: int = 8) -> list[str]:
    """Writes event files and projector; see the head of this module.

    Args:
        chosen: What is meant.
        path: The folder; one that holds event files already is refused, as they would be mixed up.
        points: The most points of a layer in the projector.
        layers: The most layers in it.
    """
    with new_folder(path) as folder, contextlib.ExitStack() as open_files:
        time = begun(chosen)
        files: dict[str, EventFile] = {}

        def of(phase: str) -> EventFile:
            if phase not in files:
                files[phase] = open_files.enter_context(EventFile(folder / quote(phase, safe=" "), time))
            return files[phase]

        _add_all(chosen, of)
        open_files.close()
        write_projector(chosen, folder, points, layers)
        if not any(folder.iterdir()):
            raise StoreError(
                f"There is nothing that TensorBoard could show. Received: tables {list(chosen.tables)}. Expected: "
                "scalars, epochs, statistics or raw values of layers and weights."
            )
    return files_in(path)


def _add_all(chosen: Chosen, of: Callable[[str], EventFile]) -> None:
    tags = Distinct(valid_text)
    for curve in by_step(chosen):
        of(curve.phase).add_curve(tags(f"step/{curve.name}"), curve)
    for curve in by_epoch(chosen):
        validation = curve.phase == "train" and curve.name.startswith("val_")
        name = curve.name.removeprefix("val_") if validation else curve.name
        of("val" if validation else curve.phase).add_curve(tags(f"epoch/{name}"), curve)
    found = Distributions(chosen)
    for each in found:
        if isinstance(each, Histogram):
            of(each.phase).add_histogram(tags(each.name), each)
        else:
            of(each.phase).add_curve(tags(each.name), each)
    found.say_untold("TensorBoard")
