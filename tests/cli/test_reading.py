"""The commands that read runs, as a program and as a person sees them: numbers against those the runs were made of."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

import truetap as tt
from tests.report.made import of_classes

from .calling import at_a_terminal, inside

MEANS = "select epoch, avg(loss) as mean from samples where phase = 'train' group by 1 order by 1"


def means() -> list[float]:
    return [float(of_classes(120, 5, epoch).loss.mean()) for epoch in range(3)]


def test_sql_as_json(runs: Path) -> None:
    rows = [json.loads(line) for line in inside("sql", runs / "before", MEANS, "--json").stdout.splitlines()]
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    np.testing.assert_allclose([row["mean"] for row in rows], means(), rtol=1e-6)
    odd = "select [1.5, 'nan'::double] as a, {'b': 'inf'::double} as c, null as d, date '2020-01-02' as e, '\t' as f"
    row = json.loads(inside("sql", runs / "before", odd, "--json").stdout)
    assert row == {"a": [1.5, None], "c": {"b": None}, "d": None, "e": "2020-01-02", "f": "\t"}
    kinds = "select 1.25::decimal(5, 2) as a, 12345678901234567890::hugeint as b, 'ab'::blob as c, true as d"
    row = json.loads(inside("sql", runs / "before", kinds, "--json").stdout)
    assert row == {"a": 1.25, "b": 12345678901234567890, "c": "6162", "d": True}
    assert inside("sql", runs / "before", kinds, "--csv").stdout == "a,b,c,d\n1.25,12345678901234567890,6162,True\n"


def test_sql_as_csv(runs: Path) -> None:
    done = inside("sql", runs / "before", "select sample_id, y_pred, loss from samples limit 2", "--csv")
    names, first, _ = csv.reader(io.StringIO(done.stdout))
    expected = of_classes(120, 5, 0)
    assert names == ["sample_id", "y_pred", "loss"]
    assert int(first[0]) == 1000
    np.testing.assert_allclose(json.loads(first[1]), expected.y_pred[0], rtol=1e-6)
    both = inside("sql", runs / "before", MEANS, "--csv", "--json")
    assert both.returncode == 2
    assert "Received: both. Expected: one of them." in both.stderr


def test_sql_into_a_pipe_gives_every_row_on_a_line(runs: Path) -> None:
    done = inside("sql", runs / "before", "select sample_id, 'a\tb\x1b[31m' as odd from samples")
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + 3 * 120 + 3 * 60
    assert lines[:2] == ["sample_id\todd", "1000\ta\\tb\\x1b[31m"]


def test_sql_at_a_terminal_shows_types_and_the_first_rows(runs: Path) -> None:
    seen = at_a_terminal("sql", runs / "before", "select sample_id, phase, y_pred, loss from samples", "--limit", 3)
    assert seen.code == 0
    assert "… 537 more; --limit, --json and --csv give them" in seen.text
    header = next(line for line in seen.text.splitlines() if "bigint" in line)
    assert header.split() == ["bigint", "varchar", "float[5]", "float"]
    assert "1002" in seen.text
    assert "1003" not in seen.text
    few = at_a_terminal("sql", runs / "before", MEANS)
    assert "3 rows" in few.text


def test_sql_says_what_is_wrong(runs: Path) -> None:
    failed = inside("sql", runs / "before", "select * from nowhere")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "Tables of this run: " in failed.stderr
    late = inside("sql", runs / "before", "select error('late') from samples")
    assert late.returncode == 1
    assert "Traceback" not in late.stderr
    assert inside("sql", runs / "nothing", "select 1").returncode == 2


def test_diagnose(runs: Path) -> None:
    done = inside("diagnose", runs / "before", "--json")
    report = tt.open(runs / "before").diagnose()
    assert done.returncode == (0 if report.ok else 1)
    assert json.loads(done.stdout)["findings"] == [each.to_dict() for each in report]
    seen = at_a_terminal("diagnose", runs / "before", "--skipped")
    assert seen.code == done.returncode
    for finding in report:
        assert finding.rule in seen.text
    assert "Not run" in seen.text


def test_compare_as_json_is_what_the_api_says(runs: Path) -> None:
    done = inside("compare", runs / "before", runs / "after", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    expected = tt.open(runs / "before").compare(tt.open(runs / "after")).to_dict()
    assert said["metrics"] == expected["metrics"]
    assert (said["phase"], said["matched"]) == ("val", 60)
    accuracy = next(row for row in said["metrics"] if row["metric"] == "accuracy")
    for place, seed in (("here", 9), ("there", 14)):
        pairs = of_classes(60, 5, seed)
        assert accuracy[place] == pytest.approx(np.mean(pairs.y_pred.argmax(1) == pairs.y_true))


def test_compare_in_words(runs: Path) -> None:
    piped = inside("compare", runs / "before", runs / "after")
    assert "\x1b" not in piped.stdout
    seen = at_a_terminal("compare", runs / "before", runs / "after", columns=110)
    assert (piped.returncode, seen.code) == (0, 0)
    for text in (piped.stdout, seen.text):
        for title in ("Findings", "Metrics", "Classes by F1", "Loss changed most", "Settings"):
            assert title in text


def test_compare_refuses(runs: Path) -> None:
    assert inside("compare", runs / "before", runs / "nothing").returncode == 2
    done = inside("compare", runs / "before", runs / "after", "--phase", "test")
    assert done.returncode == 2
    assert "Received: phase='test'" in done.stderr


def test_names_of_classes_reach_no_terminal_as_codes_or_markup(runs: Path) -> None:
    seen = at_a_terminal("compare", runs / "before", runs / "after", columns=160)
    assert "cat[red]x[/red]" in seen.text
    assert r"\x1b[31mdog\x1b[2J" in seen.text
    assert r"two\nlines" in seen.text
    assert "\x1b[2J" not in seen.raw
    assert "<script>alert(1)</script>" in seen.text


def test_a_narrow_terminal_folds_words_and_keeps_numbers(runs: Path) -> None:
    seen = at_a_terminal("compare", runs / "before", runs / "after", columns=80)
    assert all(len(line) <= 80 for line in seen.text.splitlines() if "⠋" not in line)
    rows = [line for line in seen.text.splitlines() if line.startswith("accuracy ")]
    assert rows
    assert "[" in rows[0]
    assert "]" in rows[0]


def test_verify(runs: Path) -> None:
    done = inside("verify", runs / "before")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{runs / 'before'}: 546 rows in 2 tables; every committed byte is as written.\n"
    said = json.loads(inside("verify", runs / "before", "--json").stdout)
    assert said["rows"] == {"samples": 540, "epochs": 6}
    seen = at_a_terminal("verify", runs / "before", columns=200)
    row = next(line for line in seen.text.splitlines() if line.startswith("samples"))
    size = sum(path.stat().st_size for path in (runs / "before" / "samples").rglob("*") if path.is_file())
    assert row.split() == ["samples", "540", f"{size / 1000:.1f}", "kB"]


@pytest.mark.parametrize("command", ["verify", "diagnose", "report"])
def test_no_such_run(runs: Path, command: str) -> None:
    done = inside(command, runs / "befor")
    assert (done.returncode, done.stdout) == (2, "")
    assert "There is no run at" in done.stderr
    assert "Traceback" not in done.stderr
