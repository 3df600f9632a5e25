"""The command line: `truetap verify | sql | diagnose RUN`, `truetap lint MODEL DATA`, `truetap check-loss LOSS`.

Exit codes: 0 all is well; 1 something is wrong with the run, the model or the loss, or the query fails; 2 there is no
such run, model or loss, or the command was not understood.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from typing import Any, NoReturn

import click

from truetap import __version__
from truetap.backends.installed import BACKENDS, installed
from truetap.errors import DamagedRunError, DiagnosisError, LossError, StoreError, TruetapError
from truetap.loss_checks.everywhere import Request, check_in_process, named
from truetap.loss_checks.sample_batches import KINDS
from truetap.rules.report import Report
from truetap.run import Run

__all__ = ["main"]

_WRONG, _NO_RUN = 1, 2


class _Paragraphs(click.Command):
    """A command whose examples keep their lines."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.help = inspect.cleandoc(self.help or "").replace("Example:\n", "\b\nExample:\n")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def main() -> None:
    """Reads, checks and diagnoses recorded runs; checks models and losses. Each command's --help has an example."""


@main.command(cls=_Paragraphs)
@click.argument("run", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(run: str, as_json: bool) -> None:
    """Checks every committed byte of RUN, a run's folder, against its checksum.

    Exits with 0 when nothing that counts is damaged, 1 when something is, 2 when there is no such run.

    Example:
      truetap verify runs/mnist
      truetap verify runs/mnist --json
    """
    opened = _open(run)
    try:
        problems = opened.verify()
        rows = {table: opened.reader.num_rows(table) for table in opened.tables}
    except StoreError as error:
        _fail(str(error), _WRONG)
    damaged = [problem for problem in problems if problem.damage]
    if as_json:
        listed = [{"file": p.file, "offset": p.offset, "what": p.what, "damage": p.damage} for p in problems]
        said = {"run": run, "ok": not damaged, "complete": opened.complete, "rows": rows, "problems": listed}
        click.echo(json.dumps(said, indent=2))
    else:
        for problem in problems:
            click.echo(f"{'damage' if problem.damage else 'note'}: {problem}")
        ended = "" if opened.complete else "; it has not ended, or its writer was interrupted"
        verdict = f"{len(damaged):,} damaged places" if damaged else "every committed byte is as written"
        click.echo(f"{run}: {sum(rows.values()):,} rows in {len(rows):,} tables; {verdict}{ended}.")
    sys.exit(_WRONG if damaged else 0)


@main.command(cls=_Paragraphs)
@click.argument("run", metavar="RUN")
@click.argument("query", metavar="QUERY")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a row.")
def sql(run: str, query: str, as_json: bool) -> None:
    """Asks DuckDB over the tables of RUN, a run's folder; QUERY is one select.

    A table with a dot in its name, and a column with a slash, stand in double quotes.

    Example:
      truetap sql runs/mnist "select epoch, avg(loss) from samples group by 1"
      truetap sql runs/mnist "show tables" --json
    """
    import duckdb

    opened = _open(run)
    try:
        found = opened.sql(query)
        if as_json:
            for row in found.fetchall():
                click.echo(json.dumps(dict(zip(found.columns, row, strict=True)), default=str))
        else:
            click.echo(str(found))
    except (TruetapError, duckdb.Error) as error:
        _fail(str(error), _WRONG)


@main.command("check-loss", cls=_Paragraphs)
@click.argument("loss", metavar="LOSS")
@click.option("--backend", "chosen", multiple=True, type=click.Choice(BACKENDS), help="Only this one; may be repeated.")
@click.option("--data", metavar="MODULE:FUNCTION", help="Gives (y_true, y_pred) or (y_true, y_pred, sample_weight).")
@click.option("--y-true", metavar="FILE", help="Labels: a .npy file, or a shape such as 8,3.")
@click.option("--y-pred", metavar="FILE", help="Outputs: the same.")
@click.option("--sample-weight", metavar="FILE", help="Weights: the same.")
@click.option("--kind", type=click.Choice(list(KINDS)), help="The batch to make up; by default told by the name.")
@click.option("--ignore", multiple=True, metavar="RULE", help="Leaves a rule out; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check_loss(loss: str, chosen: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Checks LOSS, module:name or a name of keras.losses, on every backend that is installed.

    Exits with 0 when it is fine, 1 when something is found, 2 when the loss or its data can't be had.

    Example:
      truetap check-loss my_losses:focal --kind binary
      truetap check-loss my_losses:dice --data my_data:a_batch --backend jax --json
    """
    there = installed()
    absent = [name for name in chosen if name not in there]
    if absent or not there:
        _fail(f"Not installed: {', '.join(absent or BACKENDS)}. Installed: {', '.join(there) or 'none'}.", _NO_RUN)
    request = Request(loss, **options)
    try:
        reports = [check_in_process(request, backend) for backend in chosen or there]
    except LossError as error:
        _fail(str(error), _NO_RUN)
    fine = all(report["ok"] for report in reports)
    missing = [name for name in BACKENDS if name not in there]
    if as_json:
        said = {"loss": loss, "ok": fine, "not_installed": missing, "reports": [_plain(each) for each in reports]}
        click.echo(json.dumps(said, indent=2))
    else:
        click.echo(f"Batch: {reports[0]['batch']}.")
        for report in reports:
            click.echo(report["text"])
        if missing:
            click.echo(f"Not installed, and so not checked: {', '.join(missing)}.")
    sys.exit(0 if fine else _WRONG)


@main.command(cls=_Paragraphs)
@click.argument("run", metavar="RUN")
@click.option("--ignore", multiple=True, metavar="RULE", help="Leaves a rule out; may be repeated.")
@click.option("--skipped", is_flag=True, help="Lists the rules that could not run, with the reason.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def diagnose(run: str, ignore: tuple[str, ...], skipped: bool, as_json: bool) -> None:
    """Says what is wrong with the model, the loss, the data or the training of RUN, a run's folder.

    Exits with 0 when there is neither an error nor a warning, 1 when there is, 2 when there is no such run.

    Example:
      truetap diagnose runs/mnist
      truetap diagnose runs/mnist --ignore overfitting --json
    """
    opened = _open(run)
    try:
        report = opened.diagnose(ignore=ignore)
    except DiagnosisError as error:
        _fail(str(error), _NO_RUN)
    except TruetapError as error:
        _fail(str(error), _WRONG)
    _tell(report, skipped=skipped, as_json=as_json)


@main.command(cls=_Paragraphs)
@click.argument("model", metavar="MODEL")
@click.argument("data", metavar="DATA")
@click.option("--backend", type=click.Choice(BACKENDS), help="Keras' backend; by default the one that is configured.")
@click.option("--ignore", multiple=True, metavar="RULE", help="Leaves a rule out; may be repeated.")
@click.option("--skipped", is_flag=True, help="Lists the rules that could not run, with the reason.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def lint(model: str, data: str, backend: str | None, ignore: tuple[str, ...], skipped: bool, as_json: bool) -> None:
    """Looks at MODEL and DATA before training, through one batch of the real training step.

    Each is module:name: a compiled model, and what fit will get; or a function without arguments that gives it.
    Exits with 0 when there is neither an error nor a warning, 1 when there is, 2 when one can't be had.

    Example:
      truetap lint my_training:make_model my_training:train_data
      truetap lint my_training:model my_training:batches --backend jax --json
    """
    if backend is not None:
        os.environ["KERAS_BACKEND"] = backend  # read by Keras when it is imported, below
    sys.path.insert(0, "")  # modules of the folder that the command was called in
    try:
        linting = importlib.import_module("truetap.diagnosis.linting")
        report = linting.lint(_made(named(model)), _made(named(data)), ignore=ignore)
    except TruetapError as error:
        _fail(str(error), _NO_RUN)
    _tell(report, skipped=skipped, as_json=as_json)


def _made(given: Any) -> Any:
    """What a function without arguments gives, or the thing itself."""
    return given() if inspect.isfunction(given) else given


def _tell(report: Report, *, skipped: bool, as_json: bool) -> NoReturn:
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2))
    else:
        click.echo(str(report))
        if skipped:
            for rule, why in report.skipped.items():
                click.echo(f"not run: {rule}: {why}")
    sys.exit(0 if report.ok else _WRONG)


def _plain(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != "text"}


def _open(path: str) -> Run:
    try:
        return Run(path)
    except DamagedRunError as error:
        _fail(str(error), _WRONG)
    except StoreError as error:
        _fail(str(error), _NO_RUN)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
