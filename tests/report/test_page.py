"""A report in a real browser: every section, sorting, filtering, cells, samples, keyboard, hostile strings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import BrowserContext
from sklearn.datasets import load_digits

import truetap as tt
from tests.report import made
from tests.report.browser import Opened, Scheme, chromium, refusals
from truetap.report import write_report
from truetap.report.content import Content, Found, Sample, Section, Shown
from truetap.report.document import as_html
from truetap.report.gather import gather

SECTIONS = ["findings", "curves", "output-0", "hardest", "labels", "layers", "cost"]
MISSING = "\u2013"  # what stands for a number that there is none of


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs over scikit-learn's digits, of which some labels are wrong."""
    folder = tmp_path_factory.mktemp("report")
    digits = load_digits()
    x, y = (digits.images[:700] / 16).astype("float32")[..., None], digits.target[:700].astype("int64")
    y[:40] = (y[:40] + 3) % 10
    keras.utils.set_random_seed(0)
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax", name="digit")]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
    recorder = tt.Recorder(folder / "digits", taps="diagnose")
    data = {"x": x[:500], "y": y[:500], "validation_data": (x[500:], y[500:])}
    model.fit(**data, epochs=2, batch_size=32, verbose=0, callbacks=[recorder])
    run = tt.open(folder / "digits")
    run.identify(x, ids=[f"digit {row:04}" for row in range(len(x))])  # none is part of another
    return Path(write_report(run, folder / "report.html"))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def opened(context: BrowserContext, report: Path) -> Iterator[Opened]:
    tab = Opened(context, report)
    yield tab
    tab.close()


def test_every_section_is_there_and_every_chart_is_drawn(opened: Opened) -> None:
    page = opened.page
    assert page.title() == "digits: truetap report"
    assert page.eval_on_selector_all("main > section", "nodes => nodes.map(node => node.id)") == SECTIONS
    links = page.eval_on_selector_all("nav a", "nodes => nodes.map(node => node.getAttribute('href'))")
    assert links == [f"#{each}" for each in SECTIONS]
    plots = page.locator(".plot").count()
    assert plots >= 6
    assert page.locator(".plot svg").count() == plots
    opened.picture("light", whole=True)


def test_a_table_is_sorted_by_its_heads(opened: Opened) -> None:
    table = opened.page.locator("table", has_text="Classes, each against the others")
    head = table.locator("th[scope=col]", has_text="recall")

    def recalls() -> list[float]:
        return [float(text) for text in table.locator("tbody tr td:nth-child(3)").all_inner_texts()]

    assert head.get_attribute("aria-sort") == "none"
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert recalls() == sorted(recalls(), reverse=True)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert recalls() == sorted(recalls())


def test_a_long_table_is_filtered_and_shown_whole(opened: Opened) -> None:
    section = opened.page.locator("#hardest")
    rows = section.locator("tbody tr")
    assert rows.count() == 15
    name = rows.nth(12).locator(".name").inner_text()
    section.get_by_role("searchbox").fill(name)
    assert rows.locator(".name").all_inner_texts() == [name]
    assert section.get_by_role("status").inner_text() == "1 row of 50"
    section.get_by_role("searchbox").fill("")
    section.get_by_role("button", name="Show all 50").click()
    assert rows.count() == 50


def test_a_cell_opens_its_samples_and_a_sample_its_history(opened: Opened) -> None:
    page = opened.page
    cell = page.locator(".matrix td.wrong button").first
    said = cell.get_attribute("aria-label") or ""
    cell.click()
    dialog = page.get_by_role("dialog")
    assert dialog.get_by_role("heading").inner_text() == said.partition(":")[0]
    assert dialog.locator("li").count() == min(8, int(cell.inner_text()))
    assert dialog.locator("li img").count() >= 1
    opened.picture("cell")
    dialog.locator("li button").first.click()
    assert dialog.get_by_role("heading").inner_text().startswith("Sample ")
    assert dialog.locator("tbody tr").count() == 2
    dialog.locator(".plot svg").wait_for()
    source = dialog.locator("img.picture").evaluate("node => [node.naturalWidth, node.naturalHeight]")
    assert source == [8, 8]
    opened.picture("sample")
    dialog.get_by_role("button", name="Back").click()
    assert dialog.get_by_role("heading").inner_text() == said.partition(":")[0]
    dialog.get_by_role("button", name="Close").click()
    assert not page.locator("dialog[open]").count()


def test_a_sample_by_keyboard_alone(opened: Opened) -> None:
    page = opened.page
    button = page.locator("#hardest tbody button").first
    name = button.locator(".name").inner_text()
    button.focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog[open] h2").inner_text() == f"Sample {name}"
    for _ in range(8):
        page.keyboard.press("Tab")
        outside = "document.activeElement !== document.body && !document.activeElement.closest('dialog')"
        assert not page.evaluate(outside)
    page.keyboard.press("Escape")
    assert not page.locator("dialog[open]").count()
    assert page.evaluate("document.activeElement.querySelector('.name').textContent") == name


def test_light_and_dark_by_a_button(opened: Opened) -> None:
    page = opened.page
    paper = "getComputedStyle(document.body).backgroundColor"
    button = page.get_by_role("button", name="Dark")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert page.evaluate(paper) == "rgb(20, 23, 26)"
    opened.picture("dark", whole=True)
    page.emulate_media(media="print")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()


def test_it_fits_a_phone(context: BrowserContext, report: Path) -> None:
    tab = Opened(context, report, width=360)
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 360
    tab.picture("phone", whole=True)
    tab.close()


def test_the_page_may_neither_load_nor_evaluate(context: BrowserContext, report: Path) -> None:
    page = Opened(context, report).page
    assert refusals(page) == [["connect-src", "img-src", "script-src-elem", "style-src-elem"], None]
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(context: BrowserContext, report: Path, scheme: Scheme) -> None:
    tab = Opened(context, report, scheme=scheme)
    axe = Axe()

    def serious() -> list[str]:
        found = [each for each in axe.run(tab.page).response["violations"] if each["impact"] in ("serious", "critical")]
        return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found]

    assert serious() == []
    tab.page.locator(".matrix button").first.click()
    assert serious() == []
    tab.page.locator("dialog li button").first.click()
    assert serious() == []
    tab.close()


@pytest.fixture
def hostile(tmp_path: Path) -> Content:
    """A run in which every name is hostile, and findings and inputs of the same kind."""
    names = [f"{made.HOSTILE}{place}" for place in range(24)]
    run = made.write(
        tmp_path / "run",
        {"train": [made.of_classes(24, 3, seed, names) for seed in (0, 1)]},
        class_names=(made.HOSTILE, "b", "c"),
        long={"gradients": {made.HOSTILE: np.asarray([1.0, 0.1]), "b": np.asarray([1.0, 2.0])}},
        metrics=[{"loss": 1.0, made.HOSTILE: 2.0}, {"loss": 0.5, made.HOSTILE: 1.0}],
    )
    found = gather(run)
    texts = dict.fromkeys(("severity", "rule", "seen", "why", "do", "where"), made.HOSTILE)
    finding = Found(**texts, reference="javascript:window.owned=1", samples=("s0",))
    inputs = (
        Shown(made.HOSTILE, "text", made.HOSTILE, made.HOSTILE),
        Shown("x", "image", "javascript:window.owned=1", "(1,)"),
    )
    samples = {key: dataclasses.replace(each, inputs=inputs) for key, each in found.samples.items()}
    return dataclasses.replace(
        found,
        title=made.HOSTILE,
        findings=(finding, dataclasses.replace(finding, reference="https://a.example/ onclick=x")),
        skipped=((made.HOSTILE, made.HOSTILE),),
        samples=samples,
    )


def test_hostile_strings_stay_inert(context: BrowserContext, hostile: Content, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(as_html(hostile), encoding="utf-8")
    tab = Opened(context, file)
    page = tab.page
    assert page.locator("#title").text_content() == made.HOSTILE
    assert page.locator(".matrix thead th").first.text_content() == made.HOSTILE
    assert page.locator("#findings a").count() == 0
    page.locator(".matrix button").first.click()
    page.locator("dialog li button").first.click()
    assert page.locator("dialog .passage").text_content() == made.HOSTILE
    for plot in page.locator("main .plot").all():
        plot.hover(force=True)
    assert page.evaluate("window.owned ?? null") is None
    assert page.locator("script").count() == 3
    assert page.locator("img[src='x'], img[onerror], [onclick], iframe").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 1200
    tab.picture("hostile", whole=True)
    tab.close()


def test_inputs_of_every_kind_are_drawn(context: BrowserContext, hostile: Content, tmp_path: Path) -> None:
    shown = (
        Shown("words", "text", "a b c", "(3,)"),
        Shown("series", "series", [[0.0, 1.0, 0.5], [1.0, None, 0.0]], "(3, 2)"),
        Shown("row", "values", [["0", 1.5], ["1", None]], "(2,)"),
    )
    sample = Sample("7", "train", shown, ("epoch", "step", "loss"), ((0, 3, None), (1, 9, 0.5)))
    table = made.table(made.section(hostile, "hardest"), "hardest")
    one = dataclasses.replace(table, rows=table.rows[:1])
    section = Section("hardest", "Hardest", (), (one,))
    content = dataclasses.replace(hostile, findings=(), sections=(section,), samples={str(table.rows[0][0]): sample})
    file = tmp_path / "report.html"
    file.write_text(as_html(content), encoding="utf-8")
    tab = Opened(context, file)
    tab.page.get_by_role("button", name="Open sample 7").click()
    dialog = tab.page.get_by_role("dialog")
    assert dialog.locator(".passage").inner_text() == "a b c"
    assert dialog.locator("svg.line polyline").count() == 2
    assert dialog.locator(".values td").all_inner_texts() == ["1.5", MISSING]
    assert dialog.locator(".history td").all_inner_texts() == ["3", MISSING, "9", "0.5"]
    tab.close()
