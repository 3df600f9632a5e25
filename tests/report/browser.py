"""Chromium for tests: a page that remembers what went wrong in it, and what it asked for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, sync_playwright

Scheme = Literal["light", "dark"]

ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
ARTIFACTS = Path(__file__).parents[2] / ".artifacts" / "report"


@contextmanager
def chromium(folder: Path) -> Iterator[BrowserContext]:
    """A Chromium with a profile of its own; where there is none, skips, and fails in CI."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
    if not os.path.exists(path):
        said = f"There is no Chromium at {path}: apt-get install chromium, or set CHROMIUM."
        if os.environ.get("CI"):
            pytest.fail(said)
        pytest.skip(said)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(folder, executable_path=path, args=ARGUMENTS.split())
        context.set_default_timeout(15_000)
        yield context
        context.close()


class Watched:
    """A tab, of which is remembered what went wrong and what it asked for.

    Args:
        context: The browser.
        width: Of the page.
        scheme: Light or dark.

    Attributes:
        page: The tab.
        wrong: Errors and warnings of its console, exceptions.
        asked: Addresses of all that it asked for.
    """

    artifacts = ARTIFACTS

    def __init__(self, context: BrowserContext, width: int, scheme: Scheme) -> None:
        self.page: Page = context.new_page()
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{message.text} {message.location.get('url', '')}")

    def picture(self, name: str, *, whole: bool = False) -> None:
        """A screenshot among the artifacts of the tests."""
        self.artifacts.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self.artifacts / f"{name}.png", full_page=whole)


class Opened(Watched):
    """A report in a tab."""

    def __init__(self, context: BrowserContext, file: Path, width: int = 1200, scheme: Scheme = "light") -> None:
        super().__init__(context, width, scheme)
        self.file = file
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("body[data-ready='true'][data-charts='drawn']", state="attached")

    def close(self) -> None:
        """Closes the tab, in which nothing may have gone wrong, and which may have asked for nothing but the file."""
        self.page.close()
        assert self.wrong == [], self.wrong
        assert [address for address in self.asked if not address.startswith("data:")] == [self.file.as_uri()]


def refusals(page: Page) -> Any:
    """What a page may not load, run or look like, by the directives of its policy; and what became of it."""
    return page.evaluate(
        """async () => {
            const found = [];
            document.addEventListener("securitypolicyviolation", (event) => found.push(event.effectiveDirective));
            const image = document.createElement("img");
            image.src = "http://127.0.0.1:9/x.png";
            document.body.append(image);
            await fetch("http://127.0.0.1:9/").catch(() => null);
            const script = document.createElement("script");
            script.textContent = "window.owned = 1";
            document.body.append(script);
            const style = document.createElement("style");
            style.textContent = "body { display: none }";
            document.body.append(style);
            await new Promise((resolve) => setTimeout(resolve, 50));
            return [found.sort(), window.owned ?? null];
        }"""
    )
