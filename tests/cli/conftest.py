"""Runs for the commands, written once: names of classes that a terminal must not obey, and a real training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.made import of_classes, write

CLASSES = ("cat[red]x[/red]", "\x1b[31mdog\x1b[2J", "<script>alert(1)</script>", "fine", "two\nlines")


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs before and after, and a folder that holds none."""
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("before", 0), ("after", 5)):
        train = [of_classes(120, 5, seed + epoch) for epoch in range(3)]
        val = [of_classes(60, 5, seed + 9, names=range(5000, 5060)) for _ in range(3)]
        metrics = [{"loss": 1 / (1 + epoch), "accuracy": 0.5 + epoch / 10} for epoch in range(3)]
        write(folder / name, {"train": train, "val": val}, class_names=CLASSES, metrics=metrics)
    (folder / "nothing").mkdir()
    return folder
