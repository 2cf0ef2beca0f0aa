"""Photographs the page of a running `coarseparts app` for docs/app.md, with the model that `coarseparts demo` trains.

    python benchmarks/screenshots.py draw runs/demo-birds      # 24 birds that the demo has not seen
    coarseparts app runs/demo/seed0 runs/demo-birds --no-browser
    python benchmarks/screenshots.py LINK [FOLDER]             # LINK as `coarseparts app` prints it

The third image of the list is opened, its first two visible keypoints are placed where they are, and it is left without
saving; nothing is written but the pictures, into FOLDER (docs/pictures). It needs playwright and a Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from coarseparts.data.synthetic import birds

DRAWN = {"count": 24, "size": 256, "seed": 77}
SHOWN = 2
"""Which of them is opened, from 0."""
WINDOWS = {
    "app_grid": {"viewport": {"width": 960, "height": 600}, "color_scheme": "dark"},
    "app_image": {"viewport": {"width": 1120, "height": 780}},
    "app_phone": {"viewport": {"width": 360, "height": 740}, "has_touch": True},
}


def placed() -> dict[int, tuple[float, float]]:
    """The first two visible keypoints of the image that is opened, by number from 1, as shares of its sides."""
    points = birds.render(**DRAWN)["keypoints"][SHOWN]
    seen = [i for i, (_, _, v) in enumerate(points) if v == 2][:2]
    return {i + 1: (float(points[i, 0] / DRAWN["size"]), float(points[i, 1] / DRAWN["size"])) for i in seen}


def draw(folder: str = "runs/demo-birds") -> None:
    """Writes the photographs."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(birds.render(**DRAWN)["image"]):
        Image.fromarray(image).save(Path(folder, f"bird_{i:02d}.png"))


def photograph(browser: Browser, link: str, name: str, file: Path) -> None:
    """Opens the page in the window that ``name`` has in WINDOWS and writes what is seen."""
    context = browser.new_context(**WINDOWS[name])
    page = context.new_page()
    page.goto(link)
    page.locator(".tile img").first.wait_for()
    page.wait_for_load_state("networkidle")
    if name != "app_grid":
        page.locator(".tile button").nth(SHOWN).click()
        page.locator("#confidence:not(:empty)").wait_for()
        box = page.locator("#canvas").bounding_box()
        side = 0.96 * min(box["width"], box["height"])  # the images of the example are square
        left, top = box["x"] + (box["width"] - side) / 2, box["y"] + (box["height"] - side) / 2
        for number, (x, y) in placed().items():
            page.keyboard.press(str(number))  # chooses that keypoint
            page.mouse.click(left + x * side, top + y * side)
        page.mouse.move(0, 0)
        page.wait_for_timeout(500)  # the question waits for a pause
        page.locator("#busy").wait_for(state="hidden")
    with Image.open(io.BytesIO(page.screenshot())) as shot:
        # 256 colours that reach as far as those of the parts do: a quarter of the bytes.
        shot.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE).save(file)
    context.close()


def main(link: str, folder: str = "docs/pictures") -> None:
    """Writes every picture."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in WINDOWS:
            photograph(browser, link, name, Path(folder, f"{name}.png"))
        browser.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["draw"]:
        draw(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
