"""Whether `tt.lint` and `run.diagnose` name the causes of programs that are broken, and let sound ones be.

    python benchmarks/diagnose.py [--half seen|aside] [--only NAME …] [--write]

Every broken program of the bed (`programs/`), its repaired twin, and the sound ones that look odd are linted, trained
with `tt.Recorder(taps="diagnose")`, and diagnosed. A cause counts as named when it is the rule of one of the first two
errors or warnings that the user reads: those of `diagnose`, or, where `fit` raises, those of `lint`. A false alarm is
any error or warning, of either, on a repaired or sound program. The half that is put aside was written before the
rules and not read by their authors; the published figure is that half's.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from programs.program import CAUSES, Case, Healthy, Program

import truetap as tt

FIRST = 2


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
        arguments = {key: value for key, value in case.fit.items() if key != "callbacks"}
        diagnosed: tuple[str, ...] | None = None
        try:
            case.model.fit(case.x, case.y, verbose=0, callbacks=callbacks, **arguments)
        except Exception as error:  # what the user would see: lint has said why
            failed.append(f"fit: {type(error).__name__}")
            recorder.finish()
        fit_seconds = time.perf_counter() - started
        started = time.perf_counter()
        if not any(each.startswith("fit: ") for each in failed):
            recorder.finish()
            diagnosed = rules_of(tt.open(Path(folder, "run")).diagnose(case.model))
        seconds = lint_seconds, fit_seconds, time.perf_counter() - started
    return Outcome(name, kind, broken, causes, linted, diagnosed, seconds, tuple(failed))


def outcomes(half: str, only: list[str]) -> list[Outcome]:
    """What is said of the programs of a half, or of some of them."""
    kinds = [importlib.import_module(f"programs.{half}.{kind}") for kind in CAUSES if kind != "consequence"]
    programs: list[Program] = [program for kind in kinds for program in kind.PROGRAMS]
    healthy: tuple[Healthy, ...] = importlib.import_module(f"programs.{half}.healthy").HEALTHY
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


def table(found: list[Outcome], half: str) -> str:
    """The figures as Markdown."""
    broken = [each for each in found if each.broken]
    sound = [each for each in found if not each.broken]
    named = np.mean([each.named for each in broken]) if broken else np.nan
    said = np.mean([bool(each.read) for each in broken]) if broken else np.nan
    by_lint = np.mean([bool(set(each.linted[:FIRST]) & set(each.causes)) for each in broken]) if broken else np.nan
    alarms = np.mean([bool(each.alarms) for each in sound]) if sound else np.nan
    diagnose = np.median([each.seconds[2] for each in found])
    lint = np.median([each.seconds[0] for each in found])
    return (
        f"| {keras.backend.backend()} | {half} | {len(broken)} | {said:.2f} | {by_lint:.2f} | **{named:.2f}** | "
        f"{len(sound)} | **{alarms:.2f}** | {lint:.1f} | {diagnose:.2f} |"
    )


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=("seen", "aside"), default="seen")
    parser.add_argument("--only", nargs="*", default=[], help="names of programs")
    parser.add_argument("--json", help="a file for every program's answers")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    found = outcomes(arguments.half, arguments.only)
    if arguments.json:
        plain = [vars(each) | {"named": each.named, "alarms": each.alarms} for each in found]
        Path(arguments.json).write_text(json.dumps(plain, indent=1))
    print(table(found, arguments.half))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
