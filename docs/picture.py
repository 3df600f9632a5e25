"""Makes docs/report.png and docs/suspects.png, the pictures of a report in README.md: `make pictures`.

Records the training of examples/wrong_labels.py in a temporary folder, opens its report in Chromium, whose path is that
of `chromium`, or stands in CHROMIUM, and takes findings and curves, and the suspect labels.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
WIDTH, HEIGHT, NARROW = 1000, 1000, 430


def main() -> None:
    """Records, opens, takes the picture."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not chromium:
        sys.exit("There is no Chromium. Expected: one that is installed, or its path in CHROMIUM.")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, HERE.parent / "examples" / "wrong_labels.py"], cwd=folder, check=True)
        report = Path(folder, "runs", "digits-1.html")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.goto(report.as_uri())
            page.wait_for_selector("body[data-charts='drawn']", state="attached")
            page.screenshot(path=HERE / "report.png")
            page.set_viewport_size({"width": NARROW, "height": 20 * HEIGHT})
            labels = page.locator("#labels").bounding_box()
            assert labels is not None
            top = labels["y"]
            page.screenshot(
                path=HERE / "suspects.png", clip={"x": 0, "y": top, "width": NARROW, "height": HEIGHT * NARROW / 400}
            )
            browser.close()


if __name__ == "__main__":
    main()
