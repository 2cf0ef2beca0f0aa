"""A page of a real browser (headless Chromium), driven by what a person does: pointer, keys and what is read."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@contextmanager
def chromium() -> Iterator:
    """A browser for one module of tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Page:
    """``context`` is a playwright context: what one browser of one user keeps. ``complaints``: console errors."""

    def __init__(self, context, url: str) -> None:
        self.page, self.url = context.new_page(), url
        self.page.set_default_timeout(10_000)
        self.complaints: list[str] = []
        self.page.on("console", lambda said: said.type == "error" and self.complaints.append(said.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, image: int | str | None = None) -> Page:
        """Opens the grid, or an image, and waits until it is there."""
        self.page.goto(self.url if image is None else f"{self.url}/#image={image}")
        self.page.locator(".tile button" if image is None else "#image-view").first.wait_for()
        return self if image is None else self.settled()

    def settled(self) -> Page:
        """Waits until the image is open and its parts are answered."""
        self.page.locator("#name:not(:empty)").wait_for()
        self.page.locator("#busy").wait_for(state="hidden")
        return self

    def at(self, x: float, y: float, size: int) -> tuple[float, float]:
        """Where a point of a square image that is wholly in sight lies in the window."""
        box = self.page.locator("#canvas").bounding_box()
        scale = 0.96 * min(box["width"], box["height"]) / size
        left, top = (box["width"] - size * scale) / 2, (box["height"] - size * scale) / 2
        return box["x"] + left + x * scale, box["y"] + top + y * scale

    def click(self, x: float, y: float, size: int) -> None:
        self.page.mouse.click(*self.at(x, y, size))

    def drag(self, *points: tuple[float, float], size: int) -> None:
        self.page.mouse.move(*self.at(*points[0], size))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point, size))
        self.page.mouse.up()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def choose(self, tool: str) -> None:
        self.page.locator(f'#tools button[data-tool="{tool}"]').click()

    def part(self, name: str) -> None:
        self.page.locator("#parts .row label", has_text=name).click()

    def says(self, text: str) -> None:
        """Waits until the page says ``text`` in a message."""
        self.page.locator(".message", has_text=text).first.wait_for()

    def state(self, text: str) -> None:
        """Waits until the image's state is ``text``."""
        self.page.locator("#state", has_text=text).wait_for()

    def colour(self, x: float, y: float, size: int) -> list[int]:
        """RGB of what is shown at a point of the image."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        box, (left, top) = self.page.locator("#canvas").bounding_box(), self.at(x, y, size)
        read = "([x, y]) => [...canvas.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)"
        return self.page.evaluate(read, [left - box["x"], top - box["y"]])
