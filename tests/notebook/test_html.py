"""HTML of tables, findings and charts: strings are data, whatever they hold."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from truetap.notebook.html import findings, page, table, text
from truetap.notebook.svg import Line, chart
from truetap.rules import Finding, Severity
from truetap.showing import Table, as_text, plain

HOSTILE = "</td><script>alert(1)</script><img src=x onerror='alert(1)'>\"&\x1b[31m\u202e"
SAFE = "&lt;/td&gt;&lt;script&gt;"


def parsed(fragment: str) -> ET.Element:
    """Well-formed, or an error."""
    return ET.fromstring(fragment.replace("<br>", "<br/>"))


def test_a_table_is_a_table() -> None:
    shown = parsed(table(Table("Title", ("name", "n"), (("a", "1"), ("b", "2")), 1, "… 3 more")).split("<p>")[0])
    assert shown.findtext("caption") == "Title"
    assert [each.text for each in shown.iter("th")] == ["name", "n"]
    assert [[cell.text for cell in row.iter("td")] for row in shown.findall("tbody/tr")] == [["a", "1"], ["b", "2"]]
    assert [each.get("scope") for each in shown.iter("th")] == ["col", "col"]
    assert [each.get("class") for each in shown.iter("td")] == ["l", None, "l", None]


def test_hostile_strings_stay_strings() -> None:
    finding = Finding(HOSTILE, Severity.ERROR, HOSTILE, HOSTILE, HOSTILE, where=HOSTILE, reference=HOSTILE)
    whole = page(
        HOSTILE,
        HOSTILE,
        Table(HOSTILE, (HOSTILE,), ((HOSTILE,),), 1, HOSTILE),
        findings([finding.to_dict()]),
        chart(HOSTILE, [Line(HOSTILE, [(0, 1.0), (1, 2.0)])], HOSTILE),
        notes=[HOSTILE],
    )
    assert "<script" not in whole
    assert "<img" not in whole
    assert "\x1b" not in whole
    assert "\u202e" not in whole
    assert whole.count(SAFE) == 18
    parsed(re.sub(r"<style>.*?</style>", "", whole))
    assert finding._repr_html_().count(SAFE) == 6


def test_references_are_links_only_to_pages() -> None:
    def shown(reference: str) -> str:
        return Finding("a", Severity.NOTE, "s", "w", "d", reference=reference)._repr_html_()

    assert '<a href="https://doi.org/10.1/2" rel="noreferrer">' in shown("https://doi.org/10.1/2")
    assert "<a " not in shown("javascript:alert(1)")
    assert "<a " not in shown("A paper, 2020. https://doi.org/10.1/2")


def test_light_and_dark_pages_get_their_own_colours() -> None:
    """Nothing is painted white or black: text has the colour of the page, lines a tone that both show."""
    whole = page("head", Table("t", ("a",), (("b",),)), chart("c", [Line("l", [(0, 1.0), (1, 2.0)])]))
    assert "currentColor" in whole
    assert not re.search(r"(?i)#fff\b|#ffffff|#000\b|white;|:\s*white|black", whole)
    assert "<script" not in whole


def test_text_of_a_table_has_columns() -> None:
    lines = as_text(Table("T", ("name", "n"), (("a\x1b", "1"), ("bcd", "200"))))
    assert lines == ["T", "  name     n", "  a\\x1b    1", "  bcd    200"]
    assert plain("a\nb\x07") == "a\nb\\x07"
    assert text("<b>") == "&lt;b&gt;"


def test_a_chart_draws_the_numbers() -> None:
    drawn = parsed(chart("Loss", [Line("own", [(0, 4.0), (5, 2.0), (10, 1.0)], faint=True), Line("mean", [(0, 3.0)])]))
    path = next(each for each in drawn if each.tag.endswith("path") and each.get("stroke") != "currentColor")
    # 420 by 200 with margins of 52, 10, 26 and 34: y grows downwards, from 1 at 166 to 4 at 26
    points = re.findall(r"[ML]([\d.]+) ([\d.]+)", path.get("d") or "")
    assert [(float(x), float(y)) for x, y in points] == [(52.0, 26.0), (231.0, 119.3), (410.0, 166.0)]
    dot = next(each for each in drawn if each.tag.endswith("circle"))
    assert float(dot.get("cy") or 0) == pytest.approx(166 - 140 * 2 / 3, abs=0.1)
    assert drawn.get("aria-label") == "Loss. own: 4 at 0, 1 at 10; mean: 3 at 0, 3 at 0"
    words = [each.text for each in drawn if each.tag.endswith("text")]
    assert words[0] == "Loss"
    assert [word for word in words if word in ("1", "2", "3", "4")] == ["1", "2", "3", "4", "2", "4"]


def test_values_that_are_not_finite_are_gaps() -> None:
    nan, inf = float("nan"), float("inf")
    shown = chart("c", [Line("l", [(0, 1.0), (1, nan), (2, 2.0), (3, inf), (4, 1.5)])])
    assert re.search(r'd="M[\d. ]+M[\d. ]+M[\d. ]+"', shown)
    assert "nan" not in shown
    assert chart("c", [Line("l", [(0, nan), (1, inf)])]) == ""
    assert chart("c", []) == ""


def test_a_loss_that_explodes_is_drawn_on_a_logarithmic_scale() -> None:
    shown = chart("loss", [Line("l", [(0, 0.01), (1, 1.0), (2, 1e6)])])
    assert "loss (log scale)" in shown
    heights = [float(y) for _, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", shown.split('stroke="#')[0].split('d="')[-1])]
    assert heights[0] - heights[1] == pytest.approx(140 * 2 / 8, abs=0.2)  # two of eight decades
    assert "(log scale)" not in chart("loss", [Line("l", [(0, -0.01), (1, 1e6)])])


def test_constants_and_large_steps() -> None:
    parsed(chart("c", [Line("l", [(7, 0.0), (8, 0.0)])]))
    parsed(chart("c", [Line("l", [(10**9, 1e-30), (10**9 + 1, 2e-30)])]))
    parsed(chart("c", [Line("l", [(0, 1e300), (1, -1e300)])]))
