"""Makes assets/page.png and assets/page_phone.png of the page with its first example, finished.

python -m tests.page.screenshots
"""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from page.examples import EXAMPLES
from tests.page.server import CHROMIUM, CHROMIUM_FLAGS, ROOT, serving
from utils.files import replacing

COLOURS = 256
MOMENT = 4.64  # seconds of the film, where the mouth is open
SIZES = {"page": (1200, 800), "page_phone": (390, 844)}


def shoot(browser: Browser, url: str, name: str) -> None:
    width, height = SIZES[name]
    page = browser.new_page(viewport=dict(width=width, height=height))
    page.goto(url)
    page.get_by_role("button", name=EXAMPLES[0].title).click()
    page.get_by_text("by a machine.").wait_for(timeout=120_000)
    page.get_by_text("How it was made").click()
    for film in ("talking", "panel"):
        page.locator(f"#{film} video").evaluate(
            f"film => new Promise(done => {{film.pause(); film.onseeked = done; film.currentTime = {MOMENT}}})"
        )
    page.mouse.move(2, 2)  # off the film, whose controls would show
    page.wait_for_timeout(1500)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")
    with replacing(ROOT / f"assets/{name}.png") as part:
        picture.quantize(COLOURS, Image.Quantize.MEDIANCUT, kmeans=2).save(part, optimize=True)
    page.close()


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), env=dict(os.environ)) as server,
        sync_playwright() as tools,
    ):
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        for name in SIZES:
            shoot(browser, server.url, name)
        browser.close()


if __name__ == "__main__":
    main()
