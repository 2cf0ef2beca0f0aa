"""The report: one file, all numbers in it, nothing outside it, no text taken for markup."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coarseparts.report.overlay import overlay
from coarseparts.report.pages import write_report
from coarseparts.report.palette import colours
from coarseparts.report.tables import COLUMNS

VILE = "<script>alert('1')</script>&\"$x$"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Tags with their attributes, the text, and whether every tag was closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.open = "", [""]
        self.feed(html)
        self.close()
        assert self.open == [""], f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> in the wrong place, line {self.getpos()[0]}"

    def handle_data(self, data: str) -> None:
        if self.open[-1] != "style":
            self.text += data

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        wanted = {k.rstrip("_"): v for k, v in attributes.items()}
        return [a for t, a in self.tags if t == tag and wanted.items() <= a.items()]


def row(method: str, seed: int, part_miou: float) -> dict[str, Any]:
    values = (method, seed, part_miou, part_miou + 5, part_miou - 2, part_miou + 2, 100.0)
    return dict(zip(COLUMNS, values, strict=True))


def everything() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
    parts = np.zeros((24, 32), np.uint8)
    parts[4:12, 4:12], parts[12:20, 4:30], parts[:2] = 1, 2, 255
    metrics = [
        {"stage": "em", "epoch": e, "step": e, "name": name, "value": 20.0 + e}
        for e in range(3)
        for name in ("val/part_part_miou", "val/posterior_part_miou", "e/mask")
    ]
    progress = [("Init", parts, 12.34), ("epoch 7", parts, 56.78)]
    return {
        "results": [row("fine-tuning", s, 30.0 + s) for s in (0, 1)] + [row("em", s, 40.0 + s) for s in (0, 1)],
        "metrics": metrics,
        "iou": {"em": {"head": 61.9, VILE: 20.0}},
        "strips": [
            {
                "title": "a strip",
                "image": image,
                "truth": parts,
                "rows": [("posterior", progress), ("part model", progress[1:])],
            }
        ],
        "gallery": [
            {"name": VILE, "image": image, "truth": parts, "predictions": {"em": parts}, "iou": 3.21, "worst": True},
            {"name": "good.png", "image": image, "truth": None, "predictions": {"em": parts}, "iou": {"em": 87.65}},
        ],
        "parts": ["head", VILE],
        "facts": {"device": "cpu", "time": 1.5, "nothing": None, "settings": {"alpha": 1.0, "labels": ["mask", "box"]}},
        "problems": [f"{VILE}: broken", "name-\udcff.png: not UTF-8"],
    }


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert write_report(path, VILE, "a subtitle", **everything()) == path
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]
    return path.read_text(encoding="utf-8")


def test_nothing_is_fetched_and_nothing_runs(html: str) -> None:
    page = Page(html)
    assert not page.all("script") and "http:" not in html and "https:" not in html and "@import" not in html
    for tag, attributes in page.tags:
        assert not [a for a in attributes if a.startswith("on")], f"{tag} has a handler"
        for name in ("src", "href", "srcset", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:image/", "data:,"))
    assert all(url.startswith(("#", "'#")) for url in re.findall(r"url\(([^)]*)", html))


def test_texts_are_escaped_everywhere(html: str) -> None:
    page = Page(html)
    assert "<script" not in html
    title = re.search(r"<title>(.*?)</title>", html)
    assert title is not None and title[1].startswith("&lt;script&gt;")
    # Title, heading, legends, bars' label, card name, problem: read back as they were given.
    assert page.text.count(VILE) >= 6
    assert [a for a in page.all("img") if VILE in a["alt"]]
    assert r"name-\xff.png: not UTF-8" in page.text


def test_numbers_are_there(html: str) -> None:
    text = " ".join(Page(html).text.split())
    assert "em: 40.5 % part mIoU, 10.0 points above fine-tuning (2 seeds, above it in 2 of 2)" in text
    for number in (
        "40.5 ± 0.7",
        "30.5 ± 0.7",
        "+10.0 ± 0.0 (2 of 2)",
        "1 min 40 s",
        "61.9",
        "12.3 %",
        "56.8 %",
        "3.2 %",
    ):
        assert number in text
    assert "87.7 %" in text or "87.6 %" in text
    for fact in ("cpu", "1.5", "alpha", "mask, box", "none"):
        assert fact in text


def test_sections_have_anchors_and_a_menu(html: str) -> None:
    page = Page(html)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for a in page.all("a")]
    assert links == [a["id"] for a in page.all("section")]
    assert links == ["results", "validation", "parts", "training", "examples", "losses", "settings", "problems"]
    assert "Not in this report" not in page.text


def test_page_suits_phones_dark_rooms_and_readers(html: str) -> None:
    page = Page(html)
    assert "prefers-color-scheme: dark" in html and "image-rendering: pixelated" in html
    assert page.all("meta", name="viewport") and page.all("html", lang="en")
    images = page.all("img")
    # Image, truth, 2 + 1 epochs; image, truth, prediction; image, prediction.
    assert len(images) == 5 + 3 + 2
    assert all(a["alt"] and a["width"] == "32" and a["height"] == "24" for a in images)
    assert f"a strip, posterior, epoch 7: head, {VILE}" in [a["alt"] for a in images]
    for part, colour in zip(("head", VILE), colours(2), strict=True):
        assert f"background:#{bytes(colour.tolist()).hex()}" in html and part in page.text


def test_worst_cases_are_marked_in_word_and_colour(html: str) -> None:
    page = Page(html)
    cards = [a for a in page.all("figure") if "card" in a.get("class", "").split()]
    assert ["worst" in a["class"].split() for a in cards] == [True, False]
    assert page.text.count("worst case") == 1
    assert re.search(r"\.card\.worst \{ border: 3px solid var\(--bad\)", html)


def test_pictures_are_the_overlays(tmp_path: Path) -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    parts = np.zeros((40, 40), np.uint8)
    parts[8:24, 8:24] = 1
    card = {"name": "a", "image": image, "truth": None, "predictions": {"em": parts}, "iou": None, "worst": False}
    path = write_report(tmp_path / "r.html", "t", gallery=[card], parts=["head"])
    (uri,) = (a["src"] for a in Page(path.read_text()).all("img") if "em" in a["alt"])
    assert uri.startswith("data:image/png;base64,"), "flat colours are smaller as PNG"
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))
    assert np.array_equal(shown, overlay(image, parts, colours(1)))


def test_large_photographs_are_reduced(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (600, 900, 3), dtype=np.uint8)
    parts = np.zeros((600, 900), np.uint8)
    parts[:, 450:] = 1
    card = {"name": "a", "image": image, "truth": None, "predictions": {"em": parts}, "iou": None, "worst": False}
    path = write_report(tmp_path / "r.html", "t", gallery=[card], parts=["head"])
    pictures = Page(path.read_text()).all("img")
    assert {(a["width"], a["height"]) for a in pictures} == {("256", "171")}
    assert path.stat().st_size < 400_000


def test_what_is_missing_is_left_out_with_a_word(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path / "r.html", "empty").read_text())
    assert not page.all("section") and not page.all("a")
    text = " ".join(page.text.split())
    assert "Results (no results were given)" in text and "Training on an image (no part maps were kept" in text
    kept = everything()
    del kept["strips"], kept["metrics"]
    page = Page(write_report(tmp_path / "r.html", "some", **kept).read_text())
    assert [a["id"] for a in page.all("section")] == ["results", "parts", "examples", "settings", "problems"]
    assert "Losses (the metrics hold no loss)" in page.text


def test_rows_of_a_strip_may_lack_epochs(tmp_path: Path) -> None:
    given = everything()["strips"]
    page = Page(write_report(tmp_path / "r.html", "t", strips=given, parts=["head", "tail"]).read_text())
    heads = [a for a in page.all("th") if a.get("scope") == "col"]
    assert len(heads) == 4, "image, truth, Init, epoch 7"
    assert len(page.all("div", class_="wide")) == 1, "the part model has no Init"


@pytest.mark.parametrize("wrong", [np.full((24, 32), 9, np.uint8), np.zeros((24, 31), np.uint8)])
def test_part_maps_that_do_not_fit_are_named(tmp_path: Path, wrong: np.ndarray) -> None:
    given = everything()
    given["gallery"][1]["predictions"]["em"] = wrong
    with pytest.raises(ValueError, match=r"good\.png, em: .*expected"):
        write_report(tmp_path / "r.html", "t", **given)
    assert not list(tmp_path.iterdir())
