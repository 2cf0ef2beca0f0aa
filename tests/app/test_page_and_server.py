"""The page and the server together, as a person meets them: `coarseparts app` started, its link opened in a browser."""

from __future__ import annotations

import re
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
pytest.importorskip("coarseparts.app.page", reason="this version has no `coarseparts app`")
from page import Page, chromium, needs_chromium

pytestmark = needs_chromium
SIZE = 256


@pytest.fixture
def photos(tmp_path: Path, ants: Path) -> Path:
    """Two square photographs, and one that was cut off."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("one.jpg", "two.jpg"):
        with Image.open(ants / "photos" / name) as photo:
            photo.resize((SIZE, SIZE)).save(folder / name)
    (folder / "zut.jpg").write_bytes((folder / "one.jpg").read_bytes()[:2000])
    return folder


@pytest.fixture
def link(photos: Path, ants: Path) -> Iterator[str]:
    """What the command prints for the browser."""
    command = [sys.executable, "-m", "coarseparts", "app", str(ants / "runs" / "ants"), str(photos)]
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
    link: str, photos: Path, ants: Path
) -> None:
    with chromium() as browser:
        page = Page(browser.new_context(), link)
        page.page.goto(link)
        page.page.locator(".tile button").first.click()
        page.settled()
        assert "token" not in page.page.url
        for point in ((100, 80), (60, 100), (150, 120), (80, 60)):
            page.click(*point, SIZE)
        page.settled()
        page.part("eye")
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
        page.press("Escape", "n", "s")  # too early: it is not meant for the image that is being left
        page.page.locator("#name", has_text="two.jpg").wait_for()
        page.settled().state("new")
        page.press("s")  # and the damaged one is passed over
        page.says("That was the last image of the list.")
        assert page.complaints == []
        page.press("l")
        page.page.locator('.tile button[aria-label^="zut.jpg, damaged"]').wait_for()

    [mask] = photos.with_name("photos_corrected").glob("parts/*.png")
    with Image.open(mask) as opened:
        parts = np.array(opened)
    assert parts.shape == (SIZE, SIZE) and parts.max() <= 4
    assert (parts[40:60, 200] == 4).all()
    added = "".join(f"  {line}\n" for line in source.splitlines()).replace("split: train", "split: test")
    (ants / "more.yaml").write_text((ants / "ants.yaml").read_text().rstrip() + "\n" + added)
    report = coarseparts.check(ants / "more.yaml")
    assert [problem for problem in report.problems if problem.severity == "error"] == []
    read = report.sources["sources[3] test"]
    assert (read["samples"], read["parts"], read["keypoints"]) == (1, 1, 1)
