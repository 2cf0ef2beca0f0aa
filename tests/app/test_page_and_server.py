"""The page and the server together, as a person meets them: `coarseparts app` started, its link opened in a browser."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import coarseparts

pytest.importorskip("playwright", reason="playwright is not installed: pip install -e '.[dev]'")
pytest.importorskip("fastapi", reason="FastAPI is not installed: pip install -e '.[app]'")
from page import Page, chromium, needs_chromium
from server import photographs, toy_model

from coarseparts.data.synthetic import birds

pytestmark = needs_chromium
SIZE = 256


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photographs, and one that was cut off."""
    folder = photographs(tmp_path / "photos", count=2, size=SIZE)
    (folder / "zut.png").write_bytes((folder / "bird_0.png").read_bytes()[:2000])
    return folder


@pytest.fixture
def link(photos: Path, tmp_path: Path) -> Iterator[str]:
    """What the command prints for the browser."""
    toy_model().save(tmp_path / "a run" / "model")
    command = [sys.executable, "-m", "coarseparts", "app", str(tmp_path / "a run"), str(photos)]
    server = subprocess.Popen([*command, "--port", "0", "--no-browser"], stdout=subprocess.PIPE, text=True)
    try:
        for line in server.stdout:
            if found := re.search(r"http://\S+", line):
                yield found[0]
                break
        else:
            pytest.fail("the command ended without a link")
    finally:
        server.terminate()
        server.wait(20)
        server.stdout.close()


def test_what_is_corrected_in_the_browser_is_a_part_mask_that_a_dataset_file_reads(
    link: str, photos: Path, tmp_path: Path
) -> None:
    with chromium() as browser:
        page = Page(browser.new_context(), link)
        page.page.goto(link)
        page.page.locator(".tile .none").wait_for()
        page.page.locator(".tile img").nth(1).wait_for()
        decoded = "[...document.querySelectorAll('.tile img')].map((img) => img.decode().then(() => img.naturalWidth))"
        widths = page.page.evaluate(f"Promise.all({decoded})")
        assert widths == [160, 160], "a thumbnail is not shown, or the damaged image has one"
        page.page.locator(".tile button").first.click()
        page.settled()
        assert "token" not in page.page.url
        for point in ((100, 80), (60, 100), (150, 120), (80, 60)):
            page.click(*point, SIZE)
        page.settled()
        page.part("tail")
        page.drag((40, 200), (90, 200), size=SIZE)
        page.press("Control+z")
        page.drag((200, 40), (200, 60), size=SIZE)
        page.press("Control+s")
        page.state("corrected")
        page.page.reload()
        page.settled().state("corrected")
        assert page.page.locator("#keypoints .drop:visible").count() == 4
        page.press("Shift+R")
        page.page.locator("#retrain[open]").wait_for()
        source = page.page.locator("#retrain-lines").inner_text()
        command = page.page.locator("#retrain-command").inner_text()
        assert shlex.split(command) == ["coarseparts", "train", "DATA.yaml", "--out", f"{tmp_path / 'a run'}-2"]
        page.press("Escape", "n", "a")  # too early: it is not meant for the image that is being left
        page.page.locator("#name", has_text="bird_1.png").wait_for()
        page.settled().state("new")
        page.press("a")  # and the damaged one is passed over
        page.says("That was the last image of the list.")
        assert [text for text in page.complaints if "410" not in text] == []  # 410: the damaged image's thumbnail
        page.press("l")
        page.page.locator('.tile button[aria-label^="zut.png, damaged"]').wait_for()

    masks = photos.with_name("photos_corrected") / "parts"
    assert sorted(file.name for file in masks.iterdir()) == ["bird_0.png", "bird_1.png"]
    with Image.open(masks / "bird_0.png") as opened:
        parts = np.array(opened)
    assert parts.shape == (SIZE, SIZE) and parts.max() <= 10
    assert (parts[40:60, 200] == 9).all()
    names = ", ".join(birds.SCHEMA.parts)
    sources = "".join(f"  {line}\n" for line in source.splitlines())
    (tmp_path / "birds.yaml").write_text(f"parts: [{names}]\nsize: 32\nsources:\n{sources}")
    report = coarseparts.check(tmp_path / "birds.yaml")
    assert [problem for problem in report.problems if problem.severity == "error"] == []
    read = report.sources["sources[0] train"]
    assert (read["samples"], read["parts"], read["keypoints"]) == (2, 2, 1)
