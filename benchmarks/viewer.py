"""What looking at a run costs: `truetap serve` over 10 million sample rows and 1,000 classes; a report of a small run.

    python benchmarks/viewer.py [--quick] [--write]

Makes a run of a million samples in ten epochs, whose predictions are class indices, and one of a million rows with
1,000 half-precision scores each, by the store's own recording. The server runs in a process of its own, the page in
Chromium. A click is timed from the event to the frame after what it asked for stands in the page. The bytes are those
that the page got over the wire. Needs what the tests need (requirements/test.txt) and a Chromium; the runs are deleted
afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _measure import PACKAGES, facts, load, table, write_section
from playwright.sync_api import BrowserContext, Page, sync_playwright

import truetap as tt
from truetap.about import About
from truetap.store import Recording, Rows, wait_for
from truetap.tasks import Hint

SAMPLES, EPOCHS, CLASSES, BATCH = 1_000_000, 10, 1_000, 1_000
RESULTS = Path(__file__).with_name("RESULTS.md")
FIRST, CLICK, OPENED, SIZE = 2.0, 0.5, 1.0, 5.0  # seconds, seconds, seconds, megabytes
JOBS = [f"runs/0/{job}" for job in ("exact", "findings", "hardest", "labels")]
HINT = Hint(loss="sparse_categorical_crossentropy", from_logits=False, activation="softmax")
ARGUMENTS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"


# --- the runs -----------------------------------------------------------------------------------------


def make(path: Path, samples: int, epochs: int, scores: bool) -> None:
    """A run as a recorder writes it: each epoch in an order of its own, right in 70 to 90 of 100."""
    rng = np.random.default_rng(0)
    prints, labels = rng.integers(-(2**63), 2**63 - 1, samples), rng.integers(0, CLASSES, samples)
    metadata = {"collect": About(hints={"": HINT}, model="none", source="fit").to_json()}
    with Recording(path, metadata=metadata) as recording:
        for epoch in range(epochs):
            order = rng.permutation(samples)
            for batch, start in enumerate(range(0, samples, BATCH)):
                chosen = order[start : start + BATCH]
                number = epoch * (samples // BATCH) + batch
                rows = step(rng, epoch, number, batch, prints[chosen], labels[chosen], scores)
                recording.put(
                    partial(lambda rows, epoch: [Rows("samples", rows, ("train", epoch))], rows, epoch), 1 << 20
                )
                recording.put(partial(scalar, rows, epoch), 100)
            recording.put(partial(ended, epoch), 100)
    if recording.error is not None:
        raise recording.error
    wait_for(path)


def step(rng: Any, epoch: int, number: int, batch: int, prints: Any, labels: Any, scores: bool) -> dict[str, Any]:
    """The rows of one step."""
    count = len(prints)
    wrong = rng.random(count) > 0.7 + 0.02 * epoch
    pred = np.where(wrong, (labels + rng.integers(1, 30, count)) % CLASSES, labels)
    sure = rng.uniform(0.3, 0.99, count)
    loss = -np.log(np.where(wrong, (1 - sure) / CLASSES, sure))
    values = pred
    if scores:
        drawn = rng.random((count, CLASSES), np.float32)
        values = (drawn * ((1 - sure) / CLASSES * 2).astype(np.float32)[:, None]).astype(np.float16)
        values[np.arange(count), pred] = sure
    keys = {"phase": np.full(count, "train", object), "epoch": np.full(count, epoch, np.int32)}
    places = {"step": np.full(count, number), "batch": np.full(count, batch, np.int32)}
    names = {"position": np.arange(count, dtype=np.int32), "sample_id": prints, "fingerprint": prints}
    return keys | places | names | {"y_true": labels, "y_pred": values, "loss": loss.astype(np.float32)}


def scalar(rows: dict[str, Any], epoch: int) -> list[Rows]:
    """What a step is known by in the curves."""
    mean = np.asarray([rows["loss"].mean()], np.float64)
    keys = {name: rows[name][:1] for name in ("phase", "epoch", "step", "batch")}
    values = {"samples": np.asarray([len(rows["loss"])], np.int32), "loss": mean, "running/loss": mean}
    return [Rows("scalars", keys | values, ("train", epoch))]


def ended(epoch: int) -> list[Rows]:
    """What Keras says at the end of an epoch."""
    keys = {"phase": np.asarray(["train"], object), "epoch": np.asarray([epoch], np.int32)}
    return [
        Rows(
            "epochs",
            keys | {"name": np.asarray(["loss"], object), "value": np.asarray([1 / (epoch + 1)])},
            ("train", epoch),
        )
    ]


def trained(path: Path) -> None:
    """A normal small run: digits, ten epochs, the taps of a diagnosis."""
    import keras
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = (digits.images / 16).astype("float32")[..., None], digits.target.astype("int64")
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(16, 3, activation="relu"), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    recorder = tt.Recorder(path, taps="diagnose")
    held = {"validation_data": (x[1400:], y[1400:])}
    model.fit(x[:1400], y[:1400], epochs=10, batch_size=32, verbose=0, callbacks=[recorder], **held)


# --- the server and the browser -----------------------------------------------------------------------


@contextmanager
def served(path: Path) -> Iterator[tuple[str, int, float]]:
    """A server in a process of its own: its address, its process, the seconds until it answers."""
    program = "import sys; from truetap.server import serve; serve(sys.argv[1:], port=0)"
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        ask(found[0], "runs")
        yield found[0], process.pid, time.perf_counter() - began
    finally:
        process.kill()
        process.wait()


def ask(address: str, path: str) -> Any:
    """What the server says."""
    with urllib.request.urlopen(f"{address}api/{path}", timeout=600) as answer:
        return json.loads(answer.read())


def until_ready(address: str, paths: Sequence[str], most: float = 900) -> dict[str, str]:
    """Seconds until each of some jobs behind the page has its answer."""
    began = time.perf_counter()
    found: dict[str, str] = {}
    while len(found) < len(paths):
        for path in set(paths) - set(found):
            try:
                ready = ask(address, path).get("state") != "working"
                said = ""
            except urllib.error.HTTPError as refusal:
                refusal.close()
                ready, said = True, f", refused ({refusal.code})"
            passed = time.perf_counter() - began
            if ready or passed > most:
                found[path] = f"{passed:,.1f} s{said}" if ready else f"not after {most:,.0f} s"
        time.sleep(0.1)
    return found


@contextmanager
def browser(folder: Path) -> Iterator[BrowserContext]:
    """A Chromium with a profile of its own."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(folder, executable_path=path, args=ARGUMENTS.split())
        context.set_default_timeout(120_000)
        context.new_page().goto("about:blank")
        yield context
        context.close()


DONE = """([event, node, done]) => new Promise((resolve) => {
    const began = performance.now();
    const test = new Function(`return ${done}`);
    const look = () => test() ? requestAnimationFrame(() => resolve(performance.now() - began)) : setTimeout(look, 4);
    if (event) document.querySelector(node).dispatchEvent(new Event(event, { bubbles: true }));
    else document.querySelector(node).click();
    look();
})"""


def click(page: Page, node: str, done: str, event: str = "") -> float:
    """Milliseconds from a click to the frame after what it asked for is there."""
    found: float = page.evaluate(DONE, [event, node, done])
    return found


LIST = "#samples .listed"
SAID = "document.querySelector('#samples .table [role=status]').textContent"
FIRST_ROW = f"document.querySelector('{LIST} tbody .name')?.textContent"
DIALOG = "document.querySelector('dialog')"


def sorts(page: Page) -> Iterator[float]:
    """Sorting a million samples by other columns."""
    for column in (1, 6, 2, 3, 1, 2):
        head = f"{LIST} thead th:nth-child({column})"
        if page.locator(head).count():
            before = page.locator(head).get_attribute("aria-sort")
            yield click(
                page, f"{head} button", f"document.querySelector('{head}').getAttribute('aria-sort') !== '{before}'"
            )


def turns(page: Page) -> Iterator[float]:
    """The next page, and back to the first."""
    for number in range(2, 6):
        yield click(page, "#samples .turning button:nth-child(3)", f"{SAID}.includes('page {number} of')")
    yield click(page, "#samples .turning button:nth-child(1)", f"{SAID}.includes('page 1 of')")


def filters(page: Page) -> Iterator[float]:
    """Only wrong ones, and all again."""
    for _ in range(3):
        for _ in range(2):
            before = json.dumps(page.locator("#samples .table [role=status]").inner_text())
            yield click(page, "#samples input[type=checkbox]", f"{SAID} !== {before}")


def cells(page: Page) -> Iterator[float]:
    """All samples of a confused pair."""
    for number in range(1, 6):
        button = f".classes tbody tr:nth-child({number}) td.cell button"
        yield click(page, button, f"{DIALOG}.open && {DIALOG}.querySelector('tbody tr')")
        click(page, "dialog .actions button", f"!{DIALOG}.open")
        page.wait_for_timeout(50)


def samples(page: Page) -> Iterator[float]:
    """One sample: its history over all epochs."""
    for number in range(1, 6):
        yield click(page, f"{LIST} tbody tr:nth-child({number}) button", f"{DIALOG}.querySelector('.history')")
        click(page, "dialog .actions button", f"!{DIALOG}.open")
        page.evaluate(f"() => {DIALOG}.replaceChildren()")
        page.wait_for_timeout(50)


def pairs(page: Page) -> Iterator[float]:
    """The next page of confused pairs, and of classes sorted by their recall."""
    says = "[...document.querySelectorAll('.classes .table')].at({at}).querySelector('[role=status]').textContent"
    for number in range(2, 5):
        button = ".classes > .table .turning button:nth-child(2)"
        yield click(page, button, says.format(at=0) + f".includes('page {number} of')")
    head = ".classes > .table:last-child thead th:nth-child(5)"
    for _ in range(2):
        before = page.locator(head).get_attribute("aria-sort")
        yield click(
            page, f"{head} button", f"document.querySelector('{head}').getAttribute('aria-sort') !== '{before}'"
        )


def matrices(page: Page) -> Iterator[float]:
    """A matrix of 25 chosen classes."""
    for start in (0, 100, 200):
        page.locator(".classes form input").fill(",".join(map(str, range(start, start + 25))))
        wanted = f"document.querySelector('.matrix thead th:nth-child(2)')?.textContent === '{start}'"
        yield click(page, ".classes form button", wanted)


def new_epochs(page: Page) -> Iterator[float]:
    """Epochs whose index has to be made."""
    yield from epochs(page, (5, 6, 7))


def epochs(page: Page, numbers: Sequence[int] = (0, 1, 0, 1)) -> Iterator[float]:
    """Another epoch; by default one whose index is there already."""
    for number in numbers:
        page.evaluate(f"() => (document.querySelector('#choose-epoch').value = '{number}')")
        before = json.dumps(page.evaluate(f"() => {FIRST_ROW}"))
        yield click(page, "#choose-epoch", f"{FIRST_ROW} !== {before}", "change")


CLICKS: dict[str, Callable[[Page], Iterator[float]]] = {
    "sort the list": sorts,
    "turn its page": turns,
    "only wrong ones": filters,
    "open a confused pair": cells,
    "open a sample": samples,
    "pairs and classes: next page, sort": pairs,
    "matrix of 25 classes": matrices,
    "another epoch": epochs,
}


def opened(context: BrowserContext, address: str) -> tuple[Page, float, float, float]:
    """The page; seconds to the first view, and to the list of samples; kilobytes that it got by then."""
    page = context.new_page()
    page.set_viewport_size({"width": 1200, "height": 900})
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_selector("body[data-begun='true'][data-ready='true']", state="attached")
    page.wait_for_selector("#curves .plot svg", state="attached")
    first = time.perf_counter() - began
    page.wait_for_selector(f"{LIST} tbody tr", state="attached")
    page.wait_for_selector("#output table", state="attached")
    whole = time.perf_counter() - began
    sent: float = page.evaluate(
        "() => performance.getEntriesByType('resource').reduce((sum, each) => sum + each.transferSize, 0)"
    )
    return page, first, whole, sent / 1000


def megabytes(pid: int, what: str) -> float:
    """Of the server's memory: VmRSS now, VmHWM at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))


# --- the table ----------------------------------------------------------------------------------------


def aimed(seconds: float, aim: float) -> str:
    """Whether an aim was met."""
    return f"under {aim:g} s ({'met' if seconds < aim else 'missed'})"


def of_run(name: str, path: Path, folder: Path, clicks: bool) -> Iterator[list[str]]:
    """Lines of one run."""
    with served(path) as (address, pid, up), browser(folder) as context:
        yield [name, "server answers", f"{up:.2f} s", "", "none set"]
        page, first, whole, sent = opened(context, address)
        yield [name, "first view", f"{first:.2f} s", f"{sent:,.0f} kB", aimed(first, FIRST)]
        yield [name, "the index of an epoch: its samples listed", f"{whole:.2f} s", "", "none set"]
        page.wait_for_timeout(500)
        began = time.perf_counter()
        if not clicks:
            for job, said in until_ready(address, JOBS).items():
                yield [name, f"behind the page: {job.removeprefix('runs/0/')}", said, "", "none set"]
        if clicks:
            times = [each / 1000 for each in new_epochs(page)]
            said = f"median {statistics.median(times) * 1000:.0f} ms, worst {max(times) * 1000:.0f} ms"
            yield [name, "another epoch for the first time", said, f"{len(times)} clicks", aimed(max(times), CLICK)]
            until_ready(address, [f"runs/0/output?phase=train&epoch={number}" for number in (0, 1)])
            for what, work in CLICKS.items():
                times = [each / 1000 for each in work(page)]
                worst = max(times)
                said = f"median {statistics.median(times) * 1000:.0f} ms, worst {worst * 1000:.0f} ms"
                yield [name, what, said, f"{len(times)} clicks", aimed(worst, CLICK)]
            until_ready(address, JOBS)
            yield [
                name,
                "behind the page: all jobs, clicks beside them",
                f"{time.perf_counter() - began:.0f} s",
                "",
                "none set",
            ]
        memory = f"{megabytes(pid, 'VmHWM'):,.0f} MB at most"
        yield [name, "memory of the server", f"{megabytes(pid, 'VmRSS'):,.0f} MB", memory, "none set"]


def of_report(folder: Path) -> Iterator[list[str]]:
    """Lines of a report."""
    trained(folder / "normal")
    run = tt.open(folder / "normal")
    began = time.perf_counter()
    path = Path(run.report(folder / "report.html"))
    yield ["digits, 10 epochs", "write the report", f"{time.perf_counter() - began:.2f} s", "", "none set"]
    size = path.stat().st_size / 1e6
    met = f"under {SIZE:g} MB ({'met' if size < SIZE else 'missed'})"
    yield ["digits, 10 epochs", "size of the report", f"{size:.2f} MB", "", met]
    with browser(folder / "profile-report") as context:
        times = []
        for _ in range(5):
            page = context.new_page()
            began = time.perf_counter()
            page.goto(path.as_uri(), wait_until="commit")
            page.wait_for_selector("body[data-ready='true']", state="attached")
            times.append(time.perf_counter() - began)
            page.close()
    said = f"median {statistics.median(times):.2f} s, worst {max(times):.2f} s"
    yield ["digits, 10 epochs", "open the report", said, f"{len(times)} times", aimed(statistics.median(times), OPENED)]


def main() -> None:
    """Prints the table; with `--write` puts it into RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the samples")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/RESULTS.md")
    asked = parser.parse_args()
    samples = SAMPLES // 100 if asked.quick else SAMPLES
    before, began = load(), time.perf_counter()
    rows: list[list[str]] = []

    def take(lines: Iterator[list[str]]) -> None:
        for line in lines:
            rows.append(line)
            print("  ".join(line), file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "indices", samples, EPOCHS, scores=False)
        size = sum(file.stat().st_size for file in (folder / "indices").rglob("*.*")) / 1e6
        what = f"{samples * EPOCHS / 1e6:g} million rows, class indices"
        take(of_run(what, folder / "indices", folder / "profile-1", clicks=True))
        shutil.rmtree(folder / "indices")
        make(folder / "scores", samples, 1, scores=True)
        larger = sum(file.stat().st_size for file in (folder / "scores").rglob("*.*")) / 1e6
        what = f"{samples / 1e6:g} million rows, 1,000 scores each"
        take(of_run(what, folder / "scores", folder / "profile-2", clicks=False))
        shutil.rmtree(folder / "scores")
        take(of_report(folder))
    said = facts(("truetap", "duckdb", "starlette", "uvicorn", "vl-convert-python", *PACKAGES["torch"]))
    said.append(("load", f"{before:.1f} before, {load():.1f} after"))
    said.append(("size", f"{size:,.0f} MB of class indices, {larger:,.0f} MB of scores on disk"))
    said.append(("time", f"{time.perf_counter() - began:,.0f} s in all"))
    columns = ("run", "what", "time or size", "beside it", "aim")
    body = f"{INTRODUCTION}\n\n{table(columns, rows)}\n\n" + "\n".join(f"- {key}: {text}" for key, text in said)
    print(f"## {HEADING}\n\n{body}")
    if asked.write:
        write_section(RESULTS, HEADING, body)


HEADING = "looking at runs: server and report"
INTRODUCTION = (
    "Written by `python benchmarks/viewer.py --write`. Server, browser and the work behind the page share the cores. "
    "Clicks begin\nwhile that work is still going on. An epoch is another one of a million samples each time."
)


if __name__ == "__main__":
    main()
