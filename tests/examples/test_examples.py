"""Each example in a process and an empty folder of its own: it ends well, warns of nothing and says what it claims.

An example checks its own numbers; here the line is looked for that says so. Each is run on the backend that it is dealt
to, `EVERY_EXAMPLE=1` runs all of them on the backend at hand.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient

import truetap as tt
from tests.cli.calling import environment

BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")
FOLDER = Path(__file__).parents[2] / "examples"
NOTEBOOK = FOLDER / "outliers.ipynb"
_read: Any = nbformat.read  # without types


class Example(NamedTuple):
    """An example: the backend that it is dealt to, whether it runs on others, and what a line of it says."""

    name: str
    backend: str
    says: str
    general: bool = True

    @property
    def runs_here(self) -> bool:
        """Whether it is run on the backend at hand."""
        return self.backend == BACKEND or (self.general and bool(os.environ.get("EVERY_EXAMPLE")))


EXAMPLES = [
    Example("custom_loop_jax", "jax", r"1\. regularisation: .*leaves out model\.losses", general=False),
    Example("custom_loop_tensorflow", "tensorflow", r"1\. broadcast: .*shape \(32,\) with .*\(32, 1\)", general=False),
    Example("custom_loop_torch", "torch", r"1\. training: The loop runs the model in inference mode", general=False),
    Example("custom_loss", "torch", r"error: implicit_broadcast"),
    Example("multi_output", "torch", r"error: misaligned_labels \(at y\)\n +.*'ink'.* 1 row further up"),
    Example("segmentation", "tensorflow", r"Of 12 misfiled masks 1[0-2] are among the first 12 of 240"),
    Example("shuffled_data", "jax", r"Two passes give the same samples in different orders"),
    Example(
        "tabular_regression",
        "tensorflow",
        r"warning: unscaled_inputs \(at x\)\n +.*feature 3 \S+ times the scale of feature",
    ),
    Example("text_classification", "jax", r"new: +\d{3} sentences, \d\d\.\d% right"),
    Example("time_series", "tensorflow", r"By hand, over the 988 readings that there are: 0\.\d+"),
    Example("transfer_learning", "tensorflow", r"backbone/norm_1/moving_mean +moved by \d+\.\d\d%"),
    Example("vanishing_gradients", "torch", r"warning: vanishing_gradient \(at layer_1"),
    Example("wrong_labels", "tensorflow", r"Of the 400 wrong ones 3[4-9]\d are among them"),
]


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.runs_here], ids=lambda each: each.name)
def test_an_example_says_what_it_claims(tmp_path: Path, example: Example) -> None:
    command = [sys.executable, str(FOLDER / f"{example.name}.py")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=tmp_path, env=environment())
    assert ended.returncode == 0, ended.stderr
    assert "Warning" not in ended.stderr
    assert re.search(example.says, ended.stdout), ended.stdout
    runs = [path.parent for path in tmp_path.glob("runs/**/manifest.json")]
    assert all(tt.open(run).complete for run in runs)


@pytest.mark.skipif(BACKEND != "jax" and not os.environ.get("EVERY_EXAMPLE"), reason="dealt to JAX")
def test_the_notebook_finds_what_was_inverted(tmp_path: Path) -> None:
    notebook = _read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute(env=environment())
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    words = "".join(each["text"] for each in outputs if each.get("name") == "stdout")
    pages = "".join(each["data"].get("text/html", "") for each in outputs if "data" in each)
    assert re.search(r"Of 20 inverted digits (18|19|20) are the first 20 of 1,500", words)
    assert "train: loss by step" in pages  # tt.LiveCurves
    assert not [each for each in outputs if each.get("name") == "stderr"]


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = [cell for cell in _read(NOTEBOOK, as_version=4).cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_every_example_is_run_and_told_of() -> None:
    scripts = {path.stem for path in FOLDER.glob("*.py")}
    assert scripts == {each.name for each in EXAMPLES}
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    there = {f"{name}.py" for name in scripts} | {NOTEBOOK.name}
    assert set(re.findall(r"\]\((\w+\.(?:py|ipynb))\)", text)) == there
