"""The training of `truetap demo`: 8 by 8 digits, some with a label that is wrong, and what the record says of them.

Imported when Keras' backend is chosen. The data are in scikit-learn, which truetap needs anyway: nothing is downloaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.datasets import load_digits

import truetap as tt
from truetap.presets import diagnose_taps
from truetap.rules.report import Report
from truetap.showing import Table, number

__all__ = ["EPOCHS", "WRONG", "Found", "Training"]

EPOCHS, TRAINED, WRONG = 12, 1_400, 140
_SHOWN = 5


@dataclass(frozen=True)
class Found:
    """What the record says.

    Attributes:
        lint: Of the model and the data, before training.
        diagnosis: Of the run.
        seconds: How long the training took.
        epochs: Losses and accuracies.
        flagged: How many labels are flagged.
        right: How many of these are wrong ones.
        corrected: For how many of these the true label is suggested.
        suspected: The most suspicious labels, with what is true.
        backend: What it ran on.
    """

    lint: Report
    diagnosis: Report
    seconds: float
    epochs: Table
    flagged: int
    right: int
    corrected: int
    suspected: Table
    backend: str

    @property
    def trained(self) -> str:
        """What was trained, in words."""
        return (
            f"{EPOCHS} epochs on {self.backend} over {TRAINED:,} digits, {WRONG} of them with a wrong label: "
            f"{self.seconds:.1f} s, every sample recorded."
        )

    @property
    def suspects(self) -> str:
        """What became of the wrong labels, in words."""
        return (
            f"run.label_issues(): {self.flagged} labels are flagged, {self.right} of them among the {WRONG} wrong "
            f"ones; for {self.corrected} the true label is suggested. The first:"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "backend": self.backend,
            "seconds": round(self.seconds, 2),
            "samples": TRAINED,
            "wrong_labels": WRONG,
            "flagged": self.flagged,
            "flagged_and_wrong": self.right,
            "corrected": self.corrected,
            "lint": self.lint.to_dict(),
            "diagnosis": self.diagnosis.to_dict(),
        }


class Training:
    """The training, its run, and the truth about the labels.

    Args:
        path: The run's folder.

    Raises:
        StoreError: The folder holds something already.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.backend = keras.backend.backend()
        self._images, self._given, self._true, self._wrong = _digits()
        keras.utils.set_random_seed(7)
        self._model = _network()
        self._seconds = 0.0

    def run(self, tell: Callable[[], None]) -> None:
        """Looks at model and data, then trains; tells of each epoch's end."""
        images, given = self._images, self._given
        taps = [tap for tap in diagnose_taps() if not isinstance(tap, tt.Inputs)]
        recorder = tt.Recorder(self.path, taps=[*taps, tt.Inputs(epochs=(0,), phases=("train", "val"))])
        self._lint = tt.lint(self._model, (images[:TRAINED], given[:TRAINED]))
        began = time.perf_counter()
        self._model.fit(
            images[:TRAINED],
            given[:TRAINED],
            validation_data=(images[TRAINED:], given[TRAINED:]),
            epochs=EPOCHS,
            verbose=0,
            callbacks=[recorder, keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: tell())],
        )
        self._seconds = time.perf_counter() - began
        recorder.finish()
        tt.open(self.path).identify((images, given))

    def ask(self) -> Found:
        """What the record says."""
        run = tt.open(self.path)
        suspects = run.label_issues().filter(pc.field("flagged"))
        rows, suggested = np.asarray(suspects["sample_id"]), np.asarray(suspects["suggested_label"])
        wrong = np.isin(rows, self._wrong)
        return Found(
            lint=self._lint,
            diagnosis=run.diagnose(self._model),
            seconds=self._seconds,
            epochs=_epochs(run.epochs()),
            flagged=len(rows),
            right=int(wrong.sum()),
            corrected=int((wrong & (suggested == self._true[rows])).sum()),
            suspected=self._suspected(suspects),
            backend=self.backend,
        )

    def report(self, target: str) -> str:
        """Writes the run's report."""
        return tt.open(self.path).report(target, model=self._model)

    def _suspected(self, suspects: pa.Table) -> Table:
        rows = [
            (
                str(row["sample_id"]),
                str(row["label"]),
                str(row["suggested_label"]),
                str(self._true[row["sample_id"]]),
                number(row["score"]),
            )
            for row in suspects.slice(0, _SHOWN).to_pylist()
        ]
        return Table("", ("digit", "label", "suggested", "true", "score"), tuple(rows), left=0)


def _digits() -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Digits, labels of which some are wrong, the true ones, and the places of the wrong ones."""
    pixels, labels = load_digits(return_X_y=True)
    random = np.random.default_rng(7)
    mixed = random.permutation(len(labels))
    images, true = (pixels[mixed] / 16).reshape(-1, 8, 8, 1).astype("float32"), labels[mixed]
    wrong = random.choice(TRAINED, WRONG, replace=False)
    given = true.copy()
    given[wrong] = (true[wrong] + random.integers(1, 10, WRONG)) % 10
    return images, given, true, wrong


def _network() -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu", name="conv"),
            layers.Flatten(),
            layers.Dense(64, activation="relu", name="hidden"),
            layers.Dense(10, activation="softmax", name="digit"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _epochs(found: pa.Table) -> Table:
    """The first and the last epochs; a column for each metric."""
    rows = found.to_pylist()
    few = rows if len(rows) <= 4 else [rows[0], rows[len(rows) // 2], rows[-1]]
    names = [name for name in found.column_names if name not in ("phase", "epoch")]
    shown = tuple((str(row["epoch"]), *(number(row[name]) for name in names)) for row in few)
    return Table("", ("epoch", *names), shown, left=0)
