"""`truetap check-loss LOSS`."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from truetap.backends.installed import BACKENDS, installed
from truetap.cli.arguments import as_json
from truetap.cli.commands import Command
from truetap.cli.ends import NOT_THERE, WRONG, fail
from truetap.cli.findings import as_grid
from truetap.errors import LossError
from truetap.loss_checks.everywhere import Request, check_in_process
from truetap.loss_checks.sample_batches import KINDS
from truetap.showing import plain

__all__ = ["check_loss"]


@click.command("check-loss", cls=Command)
@click.argument("loss", metavar="LOSS")
@click.option("--backend", "chosen", multiple=True, type=click.Choice(BACKENDS), help="Only this one; may be repeated.")
@click.option("--data", metavar="MODULE:FUNCTION", help="Gives (y_true, y_pred) or (y_true, y_pred, sample_weight).")
@click.option("--y-true", metavar="FILE", help="Labels: a .npy file, or a shape such as 8,3.")
@click.option("--y-pred", metavar="FILE", help="Outputs: the same.")
@click.option("--sample-weight", metavar="FILE", help="Weights: the same.")
@click.option("--kind", type=click.Choice(list(KINDS)), help="The batch to make up; by default told by the name.")
@click.option("--ignore", multiple=True, metavar="RULE", help="Leaves a rule out; may be repeated.")
@as_json
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
        fail(f"Not installed: {', '.join(absent or BACKENDS)}. Installed: {', '.join(there) or 'none'}.", NOT_THERE)
    reports = _checked(Request(loss, **options), chosen or there)
    fine = all(report["ok"] for report in reports)
    missing = [name for name in BACKENDS if name not in there]
    if as_json:
        listed = [{key: value for key, value in each.items() if key != "text"} for each in reports]
        said = {"loss": loss, "ok": fine, "not_installed": missing, "reports": listed}
        click.echo(json.dumps(said, indent=2))
    else:
        _tell(reports, missing)
    sys.exit(0 if fine else WRONG)


def _checked(request: Request, backends: tuple[str, ...]) -> list[dict[str, Any]]:
    from truetap.cli.terminal import working

    try:
        with working(f"Checking {request.loss}", total=len(backends)) as done:
            found = []
            for backend in backends:
                found.append(check_in_process(request, backend))
                done(1)
            return found
    except LossError as error:
        fail(error, NOT_THERE)


def _tell(reports: list[dict[str, Any]], missing: list[str]) -> None:
    from truetap.cli.terminal import for_a_person, show, words

    click.echo(plain(f"Batch: {reports[0]['batch']}."))
    for report in reports:
        if for_a_person():
            show(words(report["text"].split("\n")[0], "bold green" if report["ok"] else "bold"))
            show(as_grid(report["findings"]))
        else:
            click.echo(plain(report["text"]))
    if missing:
        click.echo(f"Not installed, and so not checked: {', '.join(missing)}.")
