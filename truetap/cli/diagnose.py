"""`truetap diagnose RUN`."""

from __future__ import annotations

import click

from truetap.cli.arguments import RUN, as_json
from truetap.cli.commands import Command
from truetap.cli.ends import NOT_THERE, WRONG, fail, open_run
from truetap.cli.findings import tell
from truetap.errors import DiagnosisError, TruetapError

__all__ = ["diagnose"]


@click.command(cls=Command)
@click.argument("run", metavar="RUN", type=RUN)
@click.option("--ignore", multiple=True, metavar="RULE", help="Leaves a rule out; may be repeated.")
@click.option("--skipped", is_flag=True, help="Lists the rules that could not run, with the reason.")
@as_json
def diagnose(run: str, ignore: tuple[str, ...], skipped: bool, as_json: bool) -> None:
    """Says what is wrong with the model, the loss, the data or the training of RUN, a run's folder.

    Exits with 0 when there is neither an error nor a warning, 1 when there is, 2 when there is no such run.

    Example:
      truetap diagnose runs/mnist
      truetap diagnose runs/mnist --ignore overfitting --json
    """
    opened = open_run(run)
    try:
        report = opened.diagnose(ignore=ignore)
    except DiagnosisError as error:
        fail(error, NOT_THERE)
    except TruetapError as error:
        fail(error, WRONG)
    tell(report, skipped=skipped, as_json=as_json)
