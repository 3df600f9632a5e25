"""`report.html` of a run, for tools that keep files beside their numbers."""

from __future__ import annotations

import contextlib
import importlib.util
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from truetap.errors import TruetapWarning
from truetap.exporting.chosen import Chosen
from truetap.report import write_report
from truetap.rules import Report

__all__ = ["report_page"]


@contextlib.contextmanager
def report_page(chosen: Chosen, wanted: bool | None, diagnosis: Report) -> Iterator[Path | None]:
    """The report in a file that lasts as long as the block; None where it isn't wanted.

    Args:
        chosen: What is meant; a report is of the whole run.
        wanted: None: if the package that draws its charts is installed, else a warning says that it is missing.
        diagnosis: What `run.diagnose()` said of it.
    """
    if wanted is None and importlib.util.find_spec("vl_convert") is None:
        warnings.warn(
            "The export has no report, whose charts need vl-convert-python. Install it: pip install 'truetap[report]'; "
            "or say report=False.",
            TruetapWarning,
            stacklevel=4,
        )
        wanted = False
    if wanted is False:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        write_report(chosen.run, path, diagnosis=diagnosis)
        yield path
