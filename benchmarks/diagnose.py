"""Whether `tt.lint` and `run.diagnose` name the causes of programs that are broken, and let sound ones be.

    KERAS_BACKEND=torch python benchmarks/diagnose.py [--part first|second|third] [--only NAME …] [--rows] [--write]

Every broken program of a part of the bed (`programs/`), its repaired twin, and the sound ones that look odd are linted,
trained with `tt.Recorder(taps="diagnose")`, and diagnosed. A cause counts as named when it is the rule of one of the
first two errors or warnings that the user reads: those of `diagnose`, or, where `fit` raises, those of `lint`. A false
alarm is any error or warning, of either, on a repaired or sound program.

The figure is that of the third part. The rules were written beside the first; the second was put aside, run once when
they were done, and they were mended on what it showed; the third was written after that by authors who had read
neither the rules nor the other parts, and nothing was changed when it had been run.

With --rows: how long `diagnose` takes on a run of a million sample rows.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from _measure import PACKAGES, facts, load, table, write_section
from programs.program import CAUSES, Case, Healthy, Program

import truetap as tt

FIRST = 2
NAMED, ALARMS, SECONDS = 0.9, 0.05, 5.0
ROWS, EPOCHS = 1_050_000, 10
RESULTS = Path(__file__).with_name("RESULTS.md")
COLUMNS = ("broken", "anything said", "named by lint", "named", "sound", "any warning", "lint", "diagnose")
PARTS = {
    "first": "The rules were written beside these programs: no measure of what they do on others.",
    "second": "Put aside while the rules were written; run once, the rules then mended on it, and run again.",
    "third": "Written apart when the rules were done, by authors who had read neither them nor the other parts; run "
    "once, and nothing changed after.",
}


@dataclass(frozen=True)
class Outcome:
    """What was said of one program.

    Attributes:
        name: The program's.
        kind: Of the taxonomy; "healthy" of a sound one that looks odd.
        broken: Whether it was the broken one.
        causes: Its true causes; empty of sound ones.
        linted: The rules of lint's errors and warnings, in order.
        diagnosed: Those of diagnose; None where fit raised.
        seconds: Of lint, of the fit, and of diagnose.
        failed: Rules that raised, with what.
    """

    name: str
    kind: str
    broken: bool
    causes: tuple[str, ...]
    linted: tuple[str, ...]
    diagnosed: tuple[str, ...] | None
    seconds: tuple[float, float, float]
    failed: tuple[str, ...]

    @property
    def read(self) -> tuple[str, ...]:
        """The findings in the order in which the user reads them."""
        return self.linted if self.diagnosed is None else self.diagnosed

    @property
    def named(self) -> bool:
        """Whether a true cause is among the first."""
        return bool(set(dict.fromkeys(self.read[:FIRST])) & set(self.causes))

    @property
    def alarms(self) -> tuple[str, ...]:
        """All that was said by either."""
        return tuple(dict.fromkeys((*self.linted, *(self.diagnosed or ()))))


def run(name: str, kind: str, broken: bool, causes: tuple[str, ...], case: Case) -> Outcome:
    """Lints, trains and diagnoses one program."""
    failed: list[str] = []

    def rules_of(report: tt.Report) -> tuple[str, ...]:
        failed.extend(f"{rule}: {why}" for rule, why in report.skipped.items() if why.startswith("failed"))
        return tuple(dict.fromkeys(finding.rule for finding in report.wrong))

    started = time.perf_counter()
    data = case.x if case.y is None else (case.x, case.y)
    weight = case.fit.get("sample_weight")
    linted = rules_of(tt.lint(case.model, (*data, weight) if weight is not None and case.y is not None else data))
    lint_seconds = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        recorder = tt.Recorder(Path(folder, "run"), taps="diagnose")
        callbacks = [recorder, *case.fit.get("callbacks", [])]
        arguments = {key: value for key, value in case.fit.items() if key not in ("callbacks", "verbose")}
        diagnosed: tuple[str, ...] | None = None
        try:
            case.model.fit(case.x, case.y, verbose=0, callbacks=callbacks, **arguments)
        except Exception as error:  # what the user would see: lint has said why
            if not broken:
                raise
            failed.append(f"fit: {type(error).__name__}")
            recorder.finish()
        fit_seconds = time.perf_counter() - started
        started = time.perf_counter()
        if not any(each.startswith("fit: ") for each in failed):
            recorder.finish()
            diagnosed = rules_of(tt.open(Path(folder, "run")).diagnose(case.model))
        seconds = lint_seconds, fit_seconds, time.perf_counter() - started
    return Outcome(name, kind, broken, causes, linted, diagnosed, seconds, tuple(failed))


def outcomes(part: str, only: list[str]) -> list[Outcome]:
    """What is said of the programs of a part of the bed, or of some of them."""
    kinds = [importlib.import_module(f"programs.{part}.{kind}") for kind in CAUSES if kind != "consequence"]
    programs: list[Program] = [program for kind in kinds for program in kind.PROGRAMS]
    healthy: tuple[Healthy, ...] = importlib.import_module(f"programs.{part}.healthy").HEALTHY
    found = []
    for program in programs:
        if only and program.name not in only:
            continue
        for broken in (True, False):
            causes = program.causes if broken else ()
            found.append(_shown(run(program.name, program.kind, broken, causes, program.build(broken))))
            keras.backend.clear_session()
    for each in healthy:
        if not only or each.name in only:
            found.append(_shown(run(each.name, "healthy", False, (), each.build())))
            keras.backend.clear_session()
    return found


def _shown(outcome: Outcome) -> Outcome:
    state = ("named" if outcome.named else "MISSED") if outcome.broken else ("ALARM" if outcome.alarms else "quiet")
    said = f"lint {list(outcome.linted)} diagnose {list(outcome.diagnosed or ())}"
    times = "/".join(f"{each:.1f}" for each in outcome.seconds)
    what = ", ".join(outcome.causes) or "sound"
    print(f"{state:7}{outcome.name} [{what}] {said} {times} s {list(outcome.failed) or ''}", flush=True)
    return outcome


def figures(found: list[Outcome]) -> list[str]:
    """One row of the table: shares and seconds."""
    broken = [each for each in found if each.broken]
    sound = [each for each in found if not each.broken]
    by_lint = [bool(set(each.linted[:FIRST]) & set(each.causes)) for each in broken]
    return [
        str(len(broken)),
        _share([bool(each.read) for each in broken]),
        _share(by_lint),
        _share([each.named for each in broken], NAMED, at_least=True),
        str(len(sound)),
        _share([bool(each.alarms) for each in sound], ALARMS, at_least=False),
        *(f"{np.median([each.seconds[at] for each in found]):.2f} s" for at in (0, 2)),
    ]


def _share(answers: list[bool], aim: float | None = None, at_least: bool = True) -> str:
    if not answers:
        return ""
    share = sum(answers) / len(answers)
    if aim is None:
        return f"{share:.2f}"
    met = share >= aim if at_least else share <= aim
    return f"{share:.2f}, aim {aim:g}: {'met' if met else 'MISSED'}"


def by_kind(found: list[Outcome]) -> str:
    """Of each kind of the taxonomy how many were named."""
    broken = Counter(each.kind for each in found if each.broken)
    named = Counter(each.kind for each in found if each.named)
    return ", ".join(f"{kind} {named[kind]} of {count}" for kind, count in broken.items())


def million(folder: Path) -> tuple[int, float, float]:
    """Sample rows of a run, and the seconds that `diagnose` takes on it: without the model, and with it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS // EPOCHS, 20)).astype("float32")
    y = (x @ rng.normal(size=(20, 10))).argmax(1)
    model = keras.Sequential(
        [keras.Input((20,)), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10, activation="softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    recorder = tt.Recorder(folder, taps="diagnose")
    model.fit(x, y, batch_size=500, epochs=EPOCHS, verbose=0, callbacks=[recorder])
    recorder.finish()
    seconds = []
    for given in (None, model):
        started = time.perf_counter()
        report = tt.open(folder).diagnose(given)
        seconds.append(time.perf_counter() - started)
        assert not [why for why in report.skipped.values() if why.startswith("failed")], report.skipped
    return len(tt.open(folder).samples()), seconds[0], seconds[1]


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=tuple(PARTS), default="third")
    parser.add_argument("--only", nargs="*", default=[], help="names of programs")
    parser.add_argument("--rows", action="store_true", help="only the time on a million rows")
    parser.add_argument("--json", help="a file for every program's answers")
    parser.add_argument("--write", action="store_true", help="put the result into benchmarks/RESULTS.md")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    backend, before = keras.backend.backend(), load()
    if asked.rows:
        with tempfile.TemporaryDirectory() as folder:
            rows, without, with_model = million(Path(folder, "run"))
        met = "met" if max(without, with_model) < SECONDS else "MISSED"
        body = (
            f"`run.diagnose()` on a run of {rows:,} sample rows: {without:.1f} s; "
            f"with the model at hand: {with_model:.1f} s. Aim: under {SECONDS:g} s: {met}."
        )
        heading = f"diagnosis of a million rows on {backend}"
    else:
        found = outcomes(asked.part, asked.only)
        if asked.json:
            plain = [vars(each) | {"named": each.named, "alarms": each.alarms} for each in found]
            Path(asked.json).write_text(json.dumps(plain, indent=1))
        missed = Counter(cause for each in found if each.broken and not each.named for cause in each.causes[:1])
        alarms = Counter(rule for each in found if not each.broken for rule in each.alarms)
        body = "\n\n".join(
            (
                PARTS[asked.part],
                table(COLUMNS, [figures(found)]),
                f"Named, by kind: {by_kind(found)}.",
                f"Not named: {_counted(missed)}. False alarms: {_counted(alarms)}.",
            )
        )
        heading = f"diagnosis, {asked.part} part, on {backend}"
    said = [*facts(("numpy", *PACKAGES[backend])), ("load", f"{before:.1f} before, {load():.1f} after")]
    body += "\n\n" + "\n".join(f"- {key}: {value}" for key, value in said)
    print(body)
    if asked.write:
        write_section(RESULTS, heading, body)


def _counted(found: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in found.most_common()) or "none"


if __name__ == "__main__":
    main()
