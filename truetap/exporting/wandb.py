"""An offline run of Weights & Biases; `wandb sync` uploads it when, and if, you like. Nothing is sent here.

Rows of steps hold `train/loss`, `train/activations/conv/mean` and histograms, over the axis `train/step`; rows of
epochs `epoch/loss`, `epoch/val_loss`, over `epoch`. Findings, hardest samples and suspect labels are tables, facts
of the run its config, the report a page. Rows have the time at which the run began.

Names may hold letters, digits and `_ - /`: anything else becomes `_`, as dots would be taken for nesting, and names
that would fall together end in `-2`, `-3`. NaN and infinities are kept. Bins of histograms are joined until there are
no more than 512. Each export into a folder adds a run of its own beside those there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import wandb
from wandb.errors import Error

from truetap.errors import StoreError
from truetap.exporting.chosen import Chosen
from truetap.exporting.distributions import Distributions, Histogram
from truetap.exporting.facts_told import facts_told
from truetap.exporting.naming import Distinct, valid_text
from truetap.exporting.page import report_page
from truetap.exporting.ranked import listed
from truetap.exporting.series import Curve, begun, by_epoch, by_step
from truetap.exporting.wandb_file import wait_until_whole
from truetap.store.layout import local_path

__all__ = ["write"]

Array = npt.NDArray[Any]

_REFUSED = re.compile(r"[^A-Za-z0-9_/-]")
_MOST_BINS = 512  # wandb.Histogram.MAX_LENGTH


def write(
    chosen: Chosen, path: str, *, project: str = "truetap", name: str | None = None, report: bool | None = None
) -> list[str]:
    """Writes an offline run; see the head of this module.

    Args:
        chosen: What is meant.
        path: The folder in which W&B makes its folder `wandb`.
        project: The project's name.
        name: The run's name; by default that of the run's folder.
        report: Whether to add `report.html`; None: if the package for its charts is installed.
    """
    folder = local_path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        run = wandb.init(
            project=project,
            name=valid_text(name or Path(chosen.run.path).absolute().name),
            config=_config(chosen),
            tags=["truetap"],
            reinit="create_new",  # a run of the user's that is open stays as it is
            settings=_settings(folder.absolute()),  # its service may have been started in another folder
        )
        try:
            _log(run, chosen, report)
        except BaseException:
            run.finish(exit_code=1)
            raise
        run.finish()
        wait_until_whole(Path(run.settings.sync_file))
    except (Error, OSError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"Weights & Biases can't write the run. Received: {path!r}. It says: {error}") from error
    made = Path(run.settings.sync_dir)
    whole = folder.absolute()
    return sorted(str(folder / file.relative_to(whole)) for file in made.rglob("*") if file.is_file())


def _config(chosen: Chosen) -> dict[str, Any]:
    names = Distinct(_allowed)
    return {names(name): value for name, value in facts_told(chosen).items()}


def _settings(folder: Path) -> wandb.Settings:
    """Offline, and nothing of the machine on which the export runs: the training may have been elsewhere."""
    return wandb.Settings(
        mode="offline",
        root_dir=str(folder),
        console="off",
        silent=True,
        disable_git=True,
        disable_code=True,
        save_code=False,
        x_disable_stats=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
    )


def _log(run: wandb.Run, chosen: Chosen, page: bool | None) -> None:
    time, names = begun(chosen), Distinct(_allowed)
    run.define_metric("epoch")
    run.define_metric("epoch/*", step_metric="epoch")
    epochs = [
        (curve.name if curve.phase == "train" else f"{curve.phase}/{curve.name}", curve) for curve in by_epoch(chosen)
    ]
    for epoch, row in _rows([(names(f"epoch/{name}"), curve) for name, curve in epochs]):
        run.log({"epoch": epoch, **row, "_timestamp": time})
    defined: set[str] = set()
    for phase, step, row in _by_step(chosen, names):
        axis = f"{_allowed(phase)}/step"
        if axis not in defined:
            defined.add(axis)
            run.define_metric(axis)
            run.define_metric(f"{_allowed(phase)}/*", step_metric=axis)
        run.log({axis: step, **row, "_timestamp": time})
    diagnosis = chosen.run.diagnose()
    for table in listed(chosen, diagnosis):
        made = wandb.Table(columns=list(table.columns), data=table.rows, allow_mixed_types=True)
        run.log({names(table.name): made, "_timestamp": time})
    run.summary["findings"] = diagnosis.count
    with report_page(chosen, page, diagnosis) as html:
        if html is not None:
            run.log({"report": wandb.Html(str(html), inject=False), "_timestamp": time})


def _by_step(chosen: Chosen, names: Distinct) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Rows with a phase and a step: those of the curves, then those of layers and weights."""
    for phase, curves in groupby(by_step(chosen), lambda curve: curve.phase):
        for step, row in _rows([(names(f"{phase}/{curve.name}"), curve) for curve in curves]):
            yield phase, step, row
    found = Distributions(chosen)
    for each in found:
        key = names(f"{each.phase}/{each.name}")
        if isinstance(each, Histogram):
            yield each.phase, each.step, {key: _histogram(each)}
        else:
            for step, row in _rows([(key, each)]):
                yield each.phase, step, row
    found.say_untold("Weights & Biases")


def _rows(curves: Iterable[tuple[str, Curve]]) -> Iterator[tuple[int, dict[str, float]]]:
    """Curves side by side: a row for each step at which any of them has a value."""
    several = list(curves)
    if not several:
        return
    steps = np.unique(np.concatenate([curve.at for _, curve in several]))
    values = np.zeros((len(several), len(steps)))
    known = np.zeros(values.shape, bool)
    for place, (_, curve) in enumerate(several):
        at = np.searchsorted(steps, curve.at)
        values[place, at], known[place, at] = curve.values, True
    heads = [name for name, _ in several]
    for place, step in enumerate(steps.tolist()):
        yield step, {name: float(values[row, place]) for row, name in enumerate(heads) if known[row, place]}


def _histogram(found: Histogram) -> wandb.Histogram:
    counts, edges = found.counts, found.edges
    while len(counts) > _MOST_BINS:
        edges = np.append(edges[:-1:2], edges[-1])
        counts = np.add.reduceat(counts, np.arange(0, len(counts), 2))
    return wandb.Histogram(np_histogram=(counts.tolist(), edges.tolist()))


def _allowed(name: str) -> str:
    clean = _REFUSED.sub("_", name)
    return clean if clean[:1].isalpha() else f"m_{clean}"  # what begins with _ is W&B's own
