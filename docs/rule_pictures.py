"""Runs the training of each rule, as it is and mended, and keeps what is seen: `make pictures`.

In docs/rule_runs/ are a picture of each rule and findings.json: what the rules said, and whether `tt.lint` said it too,
and `run.diagnose()` without the model. The pages of the site are made of these. Names of rules as arguments make
theirs anew; without them TensorFlow makes the losses, one of which is wrong there alone, and the trainings that torch
refuses, and torch all other trainings: it compiles nothing, and needs a quarter of the time.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import loss_examples
import numpy as np
from rule_charts import Panel, svg
from rule_quantities import QUANTITIES, Seen
from rule_trainings import TRAININGS

import truetap as tt
from truetap.diagnosis.evidence import Evidence

RUNS = Path(__file__).parent / "rule_runs"
FINDINGS = RUNS / "findings.json"
# labels outside 0 to 1 under a binary cross-entropy: on torch the step raises
ON_TENSORFLOW = ("label_encoding", "labels_out_of_range", "loss_unsuited_to_task", "wrong_number_of_units")


@dataclass(frozen=True)
class Recorded:
    """A training that was recorded and diagnosed: with the model, and without it."""

    seen: Seen
    report: tt.Report
    alone: tt.Report


def recorded(rule: str, mended: bool, folder: str) -> Recorded:
    """Trains, and says what `run.diagnose` says."""
    model, data, options = TRAININGS[rule](mended)
    fit = {"verbose": 0, **options}
    recorder = tt.Recorder(Path(folder, "run"), taps="diagnose")
    model.fit(*data, callbacks=[recorder, *fit.pop("callbacks", ())], **fit)
    recorder.finish()
    run = tt.open(Path(folder, "run"))
    seen = Seen(Evidence(run, model), model, data, options)
    return Recorded(seen, run.diagnose(model), run.diagnose())


def linted(rule: str) -> bool:
    """Whether `tt.lint` says so before training."""
    model, (x, y), options = TRAININGS[rule](False)
    weight = options.get("sample_weight")
    if y is None:
        data: Any = (x, x) if hasattr(x, "shape") else x  # tt.lint asks for labels, also of a model without a loss
    else:
        data = (x, y) if weight is None else (x, y, weight)
    return any(each.rule == rule for each in tt.lint(model, data))


def picture(rule: str) -> dict[str, Any]:
    """Draws a rule's picture, and gives what was found."""
    quantity = QUANTITIES[rule]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        broken, mended = recorded(rule, False, one), recorded(rule, True, other)
        said = [each for each in broken.report if each.rule == rule]
        others = [each.rule for each in broken.report.wrong if each.rule != rule] + [
            f.rule for f in mended.report.wrong
        ]
        if not said or others:
            raise ValueError(
                f"it fired {len(said)} times, and beside it {others}. Expected: it alone, and mended none."
            )
        both = {"broken": broken.seen, "mended": mended.seen}
        loss = Panel("step", "loss of each step", {run: {"": _losses(seen)} for run, seen in both.items()})
        values = {run: quantity.of(seen) for run, seen in both.items()}
        lines = histograms(values) if quantity.mark == "steps" else values
        beside = Panel(quantity.x, quantity.y, lines, quantity.mark, quantity.threshold(rule))
        (RUNS / f"{rule}.svg").write_text(svg(loss, beside), encoding="utf-8")
    without_model = any(each.rule == rule for each in broken.alone)
    return {"finding": said[0].to_dict(), "lint": linted(rule), "without_model": without_model}


def _losses(seen: Seen) -> tuple[Any, Any]:
    steps = seen.evidence.steps
    assert steps is not None
    return steps.steps, steps.loss


def histograms(values: dict[str, Any], bins: int = 24) -> dict[str, dict[str, Any]]:
    """The share of values in bins that both runs have in common."""
    every = np.concatenate([each[np.isfinite(each)] for each in values.values()])
    low, high = np.quantile(every, [0.005, 0.995])
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    found = {}
    for run, each in values.items():
        shares = np.histogram(np.clip(each, edges[0], edges[-1]), edges)[0] / len(each)
        found[run] = {"": (edges, [*shares, shares[-1]])}
    return found


def checked(rule: str) -> dict[str, Any]:
    """What `tt.check_loss` says of an example."""
    loss, y_true, y_pred, *weight = loss_examples.EXAMPLES[rule]
    report = tt.check_loss(loss, y_true, y_pred, sample_weight=weight[0] if weight else None)
    if [each.rule for each in report] != [rule]:
        raise ValueError(f"the report has {[each.rule for each in report]}. Expected: it alone.")
    return {"finding": report.findings[0].to_dict()}


def _here(kind: str, rule: str) -> bool:
    on_tensorflow = kind == "losses" or rule in ON_TENSORFLOW
    return bool(on_tensorflow == (keras.backend.backend() == "tensorflow"))


def main() -> None:
    """Makes what is named, or all; each is kept as soon as it is there."""
    warnings.simplefilter("ignore")  # of Keras, about what is broken on purpose
    RUNS.mkdir(exist_ok=True)
    kept: dict[str, Any] = json.loads(FINDINGS.read_text("utf-8")) if FINDINGS.exists() else {}
    kept = {"trainings": {}, "losses": {}} | kept
    named, failed = sys.argv[1:], list[str]()
    for kind, make, rules in (("losses", checked, loss_examples.EXAMPLES), ("trainings", picture, TRAININGS)):
        kept[kind] = {rule: found for rule, found in kept[kind].items() if rule in rules}
        for rule in [each for each in rules if (each in named if named else _here(kind, each))]:
            try:
                kept[kind][rule] = make(rule)
            except Exception as error:  # the others are made; this one is said, here and at the end
                failed.append(f"{rule}: {type(error).__name__}: {error}")
                print(failed[-1], flush=True)
                continue
            kept[kind] = dict(sorted(kept[kind].items()))
            FINDINGS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            print(kind, rule, flush=True)
    if failed:
        sys.exit("\n".join(["Not made:", *failed]))


if __name__ == "__main__":
    main()
