"""The server in a real browser: every view, sorting, filtering, pages, samples, the address, a run that grows."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import BrowserContext, Page, expect

import truetap as tt
from tests.comparison import runs
from tests.report import made
from tests.report.browser import Scheme, chromium, refusals
from tests.server.serving import Tab, process, thread

VIEWS = ["findings", "curves", "output", "samples", "hardest", "labels", "layers", "cost", "overlaid", "compared"]
LIST = "#samples .listed tbody tr"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def address(trained: tuple[Path, Path]) -> Iterator[str]:
    with thread(trained) as served:
        yield served


@pytest.fixture
def tab(context: BrowserContext, address: str) -> Iterator[Tab]:
    opened = Tab(context, address)
    yield opened
    opened.close()


def total(page: Page) -> int:
    words = page.locator("#samples [role=status]").last.inner_text()
    found = re.search(r"of ([\d,]+) samples", words)
    return 0 if found is None else int(found[1].replace(",", ""))


def listed(page: Page) -> list[str]:
    return page.locator(f"{LIST} .name").all_inner_texts()


def test_every_view_is_there_and_every_chart_is_drawn(tab: Tab) -> None:
    page = tab.page
    assert page.title() == "small: truetap"
    assert page.eval_on_selector_all("main > section", "nodes => nodes.map(node => node.id)") == VIEWS
    plots = page.locator("main .plot").count()
    assert plots >= 10
    assert page.locator("main .plot svg").count() == plots
    assert page.locator(".matrix td").count() == 101
    assert page.locator("#findings article, #findings .fine").count() >= 1
    assert page.locator("#layers .chart").count() >= 2
    tab.picture("light", whole=True)


def test_the_list_is_sorted_filtered_and_turned(tab: Tab, trained: tuple[Path, Path]) -> None:
    page = tab.page
    samples = tt.open(trained[0]).samples("val", -1)
    wrong = int((samples.true_labels != samples.pred_labels).sum())
    assert total(page) == 200
    assert page.locator(LIST).count() == 50
    head = page.locator("#samples th", has_text="confidence")
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    found = [float(each) for each in page.locator(f"{LIST} td:nth-child(5)").all_inner_texts()]
    assert found == pytest.approx(np.sort(samples.y_pred.max(axis=1))[:50].tolist(), abs=1e-4)
    head.get_by_role("button").click()
    expect(head).to_have_attribute("aria-sort", "descending")
    page.get_by_role("button", name="Next page").click()
    expect(page.locator("#samples")).to_contain_text("51 to 100 of 200 samples, page 2 of 4.")
    assert "page=1" in page.url
    page.get_by_label("only wrong").check()
    expect(page.locator("#samples")).to_contain_text(f"of {wrong} samples")
    page.locator("#samples").get_by_label("true class", exact=True).fill("3")
    page.keyboard.press("Enter")
    three = int(((samples.true_labels != samples.pred_labels) & (samples.true_labels == 3)).sum())
    expect(page.locator("#samples")).to_contain_text(f"of {three} samples" if three else "No sample")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#samples")).to_contain_text("of 200 samples")
    name = listed(page)[7]
    page.locator("#samples input[type=search]").fill(name)
    expect(page.locator(LIST)).to_have_count(1)
    assert listed(page) == [name]


def test_the_address_holds_what_is_looked_at(tab: Tab, context: BrowserContext) -> None:
    page = tab.page
    page.get_by_label("Phase", exact=True).select_option("train")
    expect(page.locator("#samples")).to_contain_text("of 500 samples")
    page.get_by_label("Epoch", exact=True).select_option("0")
    page.get_by_label("only wrong").check()
    expect(page.locator("#samples")).not_to_contain_text("of 500 samples")
    tab.settled()
    shown, wrong = listed(page), total(page)
    assert all(part in page.url for part in ("phase=train", "epoch=0", "wrong=1"))
    other = Tab(context, page.url)
    assert (listed(other.page), total(other.page)) == (shown, wrong)
    assert other.page.get_by_label("only wrong").is_checked()
    other.close()
    page.go_back()
    expect(page.locator("#samples")).to_contain_text("of 500 samples")
    assert not page.get_by_label("only wrong").is_checked()
    page.go_back()
    page.go_back()
    expect(page.locator("#samples")).to_contain_text("of 200 samples")
    page.go_forward()
    expect(page.locator("#samples")).to_contain_text("of 500 samples")
    tab.settled()


def test_a_cell_opens_all_its_samples_and_a_sample_its_history(tab: Tab) -> None:
    page = tab.page
    page.get_by_label("Phase", exact=True).select_option("train")
    tab.settled()
    cells = page.locator(".matrix td.right button")
    cell = max(cells.all(), key=lambda each: int(each.inner_text()))
    count = int(cell.inner_text())
    cell.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("tbody tr")).to_have_count(min(50, count))
    expect(dialog).to_contain_text(f"of {count} samples")
    expect(dialog.locator("tbody img").first).to_be_visible()
    losses = [float(each) for each in dialog.locator("tbody td:nth-child(2)").all_inner_texts()]
    assert losses == sorted(losses, reverse=True)
    dialog.get_by_role("button", name="loss").click()
    expect(dialog.locator("th[aria-sort=ascending]")).to_have_count(1)
    if count > 50:
        dialog.get_by_role("button", name="Next page").click()
        expect(dialog.locator("tbody tr")).to_have_count(count - 50)
    tab.picture("cell")
    dialog.locator("tbody button", has=page.locator("img")).first.click()
    expect(dialog.locator(".history tbody tr")).to_have_count(4)
    dialog.locator(".plot svg").wait_for()
    assert dialog.locator("img.picture").evaluate("node => [node.naturalWidth, node.naturalHeight]") == [8, 8]
    assert "sample=train" in page.url
    tab.picture("sample")
    dialog.get_by_role("button", name="Back").click()
    expect(dialog.get_by_role("heading")).to_contain_text("true")
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.wait_for_url(lambda url: "cell=" not in url)  # the page hears that a dialog has closed a moment later
    page.go_back()
    expect(page.locator("dialog[open]")).to_have_count(1)


def test_a_link_to_a_sample_opens_it(context: BrowserContext, address: str, trained: tuple[Path, Path]) -> None:
    name = tt.open(trained[0]).samples("val", -1).ids[3]
    tab = Tab(context, f"{address}?sample=val:{name}")
    expect(tab.page.get_by_role("dialog").locator(".history tbody tr")).to_have_count(4)
    tab.close()
    tab = Tab(context, f"{address}?sample=val:12")
    expect(tab.page.get_by_role("dialog")).to_contain_text("No recorded sample is called so")
    tab.close(allowed=["404"])


def test_by_keyboard_alone(tab: Tab) -> None:
    page = tab.page
    button = page.locator(f"{LIST} button").first
    name = button.locator(".name").inner_text()
    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("dialog[open] h2")).to_have_text(f"Sample {name}")
    page.locator("dialog .history").wait_for()
    for _ in range(8):
        page.keyboard.press("Tab")
        outside = "document.activeElement !== document.body && !document.activeElement.closest('dialog')"
        assert not page.evaluate(outside)
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    assert page.evaluate("document.activeElement.querySelector('.name').textContent") == name
    head = page.locator("#samples thead button").nth(1)
    head.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#samples th[aria-sort=ascending]")).to_have_count(1)
    assert page.evaluate("document.activeElement.textContent") == "loss"


def test_suspects_and_hardest_open(tab: Tab) -> None:
    page = tab.page
    for view in ("hardest", "labels"):
        page.locator(f"#{view} tbody button").first.click()
        expect(page.locator("dialog .history tbody tr")).to_have_count(4)
        page.get_by_role("button", name="Close").click()
        expect(page.locator("dialog[open]")).to_have_count(0)
    page.locator("#hardest").get_by_role("searchbox").fill("zzz")
    expect(page.locator("#hardest tbody tr")).to_have_count(0)


def test_another_run_and_two_compared(tab: Tab) -> None:
    page = tab.page
    page.get_by_label("Compare this run with").select_option("1")
    expect(page.locator("#compared table").first).to_be_visible(timeout=30_000)
    tab.settled()
    assert page.locator("#compared caption", has_text="Newly right").count() == 1
    page.locator("#compared tbody button").first.click()
    expect(page.locator("dialog .history tbody tr")).to_have_count(4)
    page.get_by_role("button", name="Close").click()
    tab.picture("compared", whole=True)
    page.get_by_label("Run", exact=True).select_option("1")
    expect(page.locator("h1")).to_have_text("large")
    tab.settled()
    assert page.title() == "large: truetap"
    assert page.locator("main .plot svg").count() == page.locator("main .plot").count()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(context: BrowserContext, address: str, scheme: Scheme) -> None:
    tab = Tab(context, f"{address}?with=1", scheme=scheme)
    axe = Axe()

    def serious() -> list[str]:
        found = [each for each in axe.run(tab.page).response["violations"] if each["impact"] in ("serious", "critical")]
        return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found]

    assert serious() == []
    tab.page.locator(".matrix button").first.click()
    tab.page.locator("dialog tbody button").first.wait_for()
    assert serious() == []
    tab.page.locator("dialog tbody button").first.click()
    tab.page.locator("dialog .history").wait_for()
    assert serious() == []
    tab.page.get_by_role("button", name="Close").click()
    tab.picture(f"axe-{scheme}", whole=True)
    tab.close()


def test_it_fits_a_phone_and_prints(context: BrowserContext, address: str) -> None:
    tab = Tab(context, address, width=360)
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 360
    tab.picture("phone", whole=True)
    tab.page.locator(f"{LIST} button").first.click()
    tab.page.locator("dialog .history").wait_for()
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 360
    tab.picture("phone-sample")
    tab.page.get_by_role("button", name="Close").click()
    tab.page.emulate_media(media="print")
    assert not tab.page.locator("nav").is_visible()
    assert not tab.page.locator("#samples form").is_visible()
    tab.close()


def test_the_page_may_neither_load_nor_evaluate(context: BrowserContext, address: str) -> None:
    page = Tab(context, address).page
    assert refusals(page) == [["connect-src", "img-src", "script-src-elem", "style-src-elem"], None]
    page.close()


def test_hostile_strings_stay_strings(context: BrowserContext, tmp_path: Path) -> None:
    names = [f"{made.HOSTILE}{place}" for place in range(60)]
    epochs = [made.of_classes(60, 3, seed, names=names) for seed in range(3)]
    texts = np.asarray([made.HOSTILE] * 60, object)
    run = made.write(
        tmp_path / "<img src=x onerror=window.owned=1>",
        {"train": epochs},
        class_names=(made.HOSTILE, "b", "c"),
        inputs={"train": texts},
        long={"gradients": {made.HOSTILE: np.linspace(1, 2, 5)}},
        metrics=[{made.HOSTILE: 0.5, "loss": 1.0}, {made.HOSTILE: 0.6, "loss": 0.5}],
    )
    with thread([Path(run.path)]) as served:
        tab = Tab(context, served)
        page = tab.page
        page.locator(".matrix button").first.click()
        page.locator("dialog tbody button").first.click()
        page.locator("dialog .history").wait_for()
        assert page.locator("dialog .passage").text_content() == made.HOSTILE
        page.get_by_role("button", name="Close").click()
        for plot in page.locator("main .plot").all():
            plot.hover(force=True)
        assert page.evaluate("window.owned ?? null") is None
        assert page.locator("script").count() == 1
        assert page.locator("img[src='x'], img[onerror], [onclick], iframe").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") == 1200
        tab.picture("hostile", whole=True)
        other = Tab(context, f"{served}?phase={made.HOSTILE[:40]}&find=%3Cimg&sort=%22&sample=%3Cscript%3E&page=x")
        assert other.page.evaluate("window.owned ?? null") is None
        other.close(allowed=["400", "404"])
        tab.close()


def test_many_classes(context: BrowserContext, tmp_path: Path) -> None:
    rows = runs.classes(4000, 1.0, 0, number=60)
    with thread([Path(runs.write_run(tmp_path / "run", {"train": [rows]}, batch=1000).path)]) as served:
        tab = Tab(context, served)
        page = tab.page
        pairs = page.locator(".table", has=page.get_by_text("The most confused pairs"))
        expect(pairs.locator("tbody tr")).to_have_count(50)
        first = pairs.locator("tbody button").first
        count = int(first.inner_text())
        pairs.get_by_role("button", name="Next").click()
        expect(pairs).to_contain_text("page 2 of")
        page.get_by_label("Matrix of the classes").fill("3, 7, 11")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(page.locator(".matrix td")).to_have_count(10)
        assert "classes=3%2C+7%2C+11" in page.url
        page.get_by_label("Matrix of the classes").fill("3, nobody")
        page.keyboard.press("Enter")
        expect(page.locator("#output")).to_contain_text("the class 'nobody'")
        pairs.get_by_role("button", name="Previous").click()
        expect(pairs).to_contain_text("page 1 of")
        pairs.locator("tbody button").first.click()
        expect(page.get_by_role("dialog")).to_contain_text(f"of {count} samples")
        tab.picture("many")
        tab.close(allowed=["404"])


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("labels", runs.labels(200, 1.0, 0)),
        ("sequences", runs.sequences(200, 1.0, 0)),
        ("binary", runs.binary(200, 1.0, 0)),
        ("numbers", runs.numbers(200, 0.5, 0, width=1)),
    ],
)
def test_outputs_of_every_task(context: BrowserContext, tmp_path: Path, kind: str, rows: runs.Rows) -> None:
    with thread([Path(runs.write_run(tmp_path / "run", {"train": [rows, rows]}).path)]) as served:
        tab = Tab(context, served)
        page = tab.page
        assert page.locator("#output table").count() >= 2
        if kind == "labels":
            button = page.get_by_role("button", name="Label 2: open those missed")
            button.click()
            expect(page.get_by_role("dialog").get_by_role("heading")).to_have_text("label 2: missed")
            expect(page.get_by_role("dialog").locator("tbody tr").first).to_be_visible()
            page.get_by_role("button", name="Close").click()
        if kind == "numbers":
            assert page.locator("#output .chart").count() == 2
            assert not page.get_by_label("only wrong").is_visible()
        tab.picture(f"task-{kind}")
        tab.close()


TRAINING = """
    import sys
    import keras, numpy as np
    import truetap as tt
    rng = np.random.default_rng(0)
    x = rng.random((320, 8)).astype("float32")
    y = (x.sum(axis=1) > 4).astype("int64") + (x[:, 0] > 0.5)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    class WhenTold(keras.callbacks.Callback):  # an epoch for each line; all that are left once there are no more lines
        def on_epoch_begin(self, epoch, logs=None):
            sys.stdin.readline()
    callbacks = [tt.Recorder(sys.argv[1]), WhenTold()]
    model.fit(x, y, validation_data=(x[:64], y[:64]), epochs=4, batch_size=32, verbose=0, callbacks=callbacks)
"""


def test_it_follows_a_training(context: BrowserContext, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-c", textwrap.dedent(TRAINING), str(folder)]
    started = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, text=True, bufsize=1)
    assert started.stdin is not None
    started.stdin.write("an epoch\n")
    try:
        deadline = time.monotonic() + 120
        while not list(folder.glob("samples/*/seg-*.log")):
            assert time.monotonic() < deadline
            assert started.poll() is None
            time.sleep(0.1)
        with process([folder]) as (address, _):
            tab = Tab(context, f"{address}?phase=train")
            page = tab.page
            expect(page.locator("#following")).to_contain_text("following: train epoch 0", timeout=60_000)
            page.locator(LIST).first.wait_for()
            page.locator(f"{LIST} button").first.click()
            page.locator("dialog .history").wait_for()
            name = page.locator("dialog h2").inner_text()
            page.evaluate("window.scrollTo(0, 700)")
            scrolled = page.evaluate("window.scrollY")
            page.locator("dialog .history").focus()
            for epoch in (1, 2):
                started.stdin.write("an epoch\n")
                page.wait_for_function(
                    f"() => document.getElementById('following').textContent.includes('epoch {epoch}')"
                )
                assert page.locator("dialog[open] h2").inner_text() == name
                assert page.evaluate("document.activeElement.classList.contains('history')")
                assert page.evaluate("window.scrollY") == scrolled
            page.keyboard.press("Escape")
            expect(page.locator("dialog[open]")).to_have_count(0)
            field = page.locator("#samples input[type=search]")
            field.fill("-")
            tab.picture("following")
            started.stdin.close()
            expect(page.locator("#following")).to_have_text("", timeout=60_000)
            assert page.evaluate("document.activeElement.type") == "search"
            assert field.input_value() == "-"
            field.fill("")
            expect(page.locator("#samples")).to_contain_text("of 320 samples")
            tab.settled()
            rows = page.locator("#curves table", has_text="Each epoch in numbers").locator("tbody tr")
            expect(rows).to_have_count(4)
            tab.close()
    finally:
        started.kill()
        started.wait()


def test_a_server_that_has_gone_is_said_and_found_again(context: BrowserContext, trained: tuple[Path, Path]) -> None:
    with process([trained[0]]) as (address, started):
        tab = Tab(context, address)
        port = re.findall(r":(\d+)/", address)[0]
        started.terminate()
        started.wait()
        alert = tab.page.get_by_role("alert")
        expect(alert).to_contain_text("The server doesn't answer", timeout=15_000)
        with process([trained[0]], f'{{"port": {port}}}'):
            expect(alert).to_be_hidden(timeout=15_000)
        tab.close(allowed=["ERR_CONNECTION", "Failed to load", "ERR_EMPTY"])


def test_the_token_leaves_the_address(context: BrowserContext, trained: tuple[Path, Path]) -> None:
    with process([trained[0]], '{"port": 0, "token": "a-token-of-the-tests"}') as (address, _):
        assert address.endswith("/?token=a-token-of-the-tests")
        tab = Tab(context, f"{address}&phase=train")
        assert tab.page.url.endswith("/?phase=train")
        expect(tab.page.locator("#samples")).to_contain_text("of 500 samples")
        assert tab.page.evaluate("document.cookie") == ""
        tab.page.reload()
        tab.settled()
        tab.close()
