"""A real Jupyter kernel that executes cells, and what a person would have seen of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import nbformat
from nbclient import NotebookClient

from tests.cli.calling import environment

_v4: Any = nbformat.v4  # without types


@dataclass
class Executed:
    """A notebook that was executed.

    Attributes:
        outputs: Those of each cell, as a saved notebook holds them.
        updates: When an output was drawn anew, in seconds, and its HTML.
    """

    outputs: list[list[Any]] = field(default_factory=list)
    updates: list[tuple[float, str]] = field(default_factory=list)

    def html(self, cell: int) -> str:
        """The HTML that a cell shows."""
        return "".join(each["data"].get("text/html", "") for each in self.outputs[cell] if "data" in each)

    def words(self, cell: int) -> str:
        """What a cell printed."""
        return "".join(each["text"] for each in self.outputs[cell] if each.get("name") == "stdout")

    def errors(self, cell: int) -> list[str]:
        """Names of the errors of a cell."""
        return [each["ename"] for each in self.outputs[cell] if each["output_type"] == "error"]


class _Client(NotebookClient):
    """Remembers when displays are drawn anew."""

    seen: Executed

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] == "update_display_data":
            self.seen.updates.append((time.monotonic(), msg["content"]["data"].get("text/html", "")))
        return super().process_message(msg, cell, cell_index)


def execute(*cells: str, allow_errors: bool = False) -> Executed:
    """Executes cells in one kernel."""
    notebook = _v4.new_notebook(cells=[_v4.new_code_cell(cell) for cell in cells])
    client = _Client(notebook, timeout=240, kernel_name="python3", allow_errors=allow_errors)
    client.seen = Executed()
    client.execute(env=environment())
    client.seen.outputs = [list(cell["outputs"]) for cell in notebook["cells"]]
    return client.seen
