"""The report: one file, all numbers in it, nothing outside it, no text taken for markup."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rows import curve_rows, row

from coarseparts.labels.part_maps import ExclusiveMaps
from coarseparts.report.overlay import overlay
from coarseparts.report.pages import Page as Given
from coarseparts.report.pages import write_folder, write_report
from coarseparts.report.palette import colours
from coarseparts.report.pictures import Gallery, Legend, Strip, image_scores, worst_and_others
from coarseparts.report.results import Result, read_margins, read_parts, read_results

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


LEGEND = Legend(("head", VILE), ExclusiveMaps(2))
IMAGE = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
PARTS = np.zeros((24, 32), np.uint8)
PARTS[4:12, 4:12], PARTS[12:20, 4:30], PARTS[:2] = 1, 2, 255


def rows(names: tuple[str, ...] = LEGEND.parts) -> list[Result]:
    counts = np.ones((2, len(names) + 1, len(names) + 1), np.int64)
    found = [row("fine-tuning", s, 30.0 + s) for s in (0, 1)] + [row("em", s, 40.0 + s, "ours") for s in (0, 1)]
    return [replace(r, counts=counts, names=names) for r in found]


def gallery(*names: str, worst: int = 0, **predictions: np.ndarray) -> Gallery:
    """Images of those names with predictions by model, of the same part map everywhere."""

    def several(one: np.ndarray) -> np.ndarray:
        return np.stack([one] * len(names))

    models = {model: several(maps) for model, maps in (predictions or {"em": np.where(PARTS == 255, 0, PARTS)}).items()}
    return Gallery("a gallery", several(IMAGE), several(PARTS), models, names, LEGEND, worst)


def everything() -> Given:
    metrics = [
        {"stage": "em", "epoch": e, "step": e, "name": name, "value": 20.0 + e}
        for e in range(3)
        for name in ("val/part_part_miou", "val/posterior_part_miou", "e/mask")
    ]
    progress = [("Init", PARTS, 12.34), ("epoch 7", PARTS, 56.78)]
    return Given(
        VILE,
        "a subtitle",
        metrics=metrics,
        strips=[Strip("a strip", IMAGE, PARTS, [("posterior", progress), ("part model", progress[1:])], LEGEND)],
        galleries=[gallery(VILE, "good.png", worst=1)],
        facts={"device": "cpu", "labels": "mask, box"},
        problems=[f"{VILE}: broken", "name-\udcff.png: not UTF-8"],
    )


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    assert write_report(path, rows(), everything()) == path
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
    assert "em: 40.5 ± 0.7 % part mIoU, 0.0 points above fine-tuning (+0.0 to +0.0), 2 seeds." in text
    numbers = ("40.5 ± 0.7", "30.5 ± 0.7", "1 min 01 s", "20.0", "12.3 %", "56.8 %", "100.0 %", "2.0 GiB", "41.00")
    for shown in (*numbers, "cpu", "mask, box"):
        assert shown in text


def test_sections_have_anchors_and_a_menu(html: str) -> None:
    page = Page(html)
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"][1:] for a in page.all("a")]
    assert links == [a["id"] for a in page.all("section")]
    assert links == ["results", "parts", "validation", "training", "examples", "losses", "settings", "problems"]
    assert "Not in this report" not in page.text


def test_page_suits_phones_dark_rooms_and_readers(html: str) -> None:
    page = Page(html)
    assert "prefers-color-scheme: dark" in html and "image-rendering: pixelated" in html
    assert page.all("meta", name="viewport") and page.all("html", lang="en")
    images = page.all("img")
    # Image, truth, 2 + 1 epochs; twice image, truth, prediction.
    assert len(images) == 5 + 2 * 3
    assert all(a["alt"] and a["width"] == "32" and a["height"] == "24" for a in images)
    assert f"a strip, posterior, epoch 7: head, {VILE}" in [a["alt"] for a in images]
    for part, colour in zip(("head", VILE), colours(2), strict=True):
        assert f"background:#{bytes(colour.tolist()).hex()}" in html and part in page.text


def test_worst_cases_are_marked_in_word_and_colour(html: str) -> None:
    page = Page(html)
    cards = [a for a in page.all("figure") if "card" in a.get("class", "").split()]
    assert ["worst" in a["class"].split() for a in cards] == [True, False]
    assert [a["class"] for a in page.all("span") if a.get("class") == "badge"] == ["badge"]
    assert re.search(r"\.card\.worst \{ border: 3px solid var\(--bad\)", html)


def test_the_worst_images_come_first_then_evenly_chosen_others() -> None:
    assert worst_and_others([5.0, 1.0, 9.0, 0.0, 7.0, 8.0], 4, 2) == ([3, 1, 0, 2], 2)
    assert worst_and_others([3.0, 2.0], 12, 6) == ([1, 0], 2), "fewer than asked for"
    assert worst_and_others([3.0], 3, 1) == ([0], 1)
    hit, missed, nothing = [[9, 0], [0, 9]], [[9, 0], [9, 0]], [[9, 0], [0, 0]]
    assert image_scores(np.array([hit, missed, nothing])) == [100.0, 0.0, 0.0]


def test_pictures_are_the_overlays(tmp_path: Path) -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    parts = np.zeros((40, 40), np.uint8)
    parts[8:24, 8:24] = 1
    shown = Gallery("g", image[None], parts[None], {"em": parts[None]}, ("a",), Legend(("head",), ExclusiveMaps(1)))
    path = write_report(tmp_path / "r.html", [], Given("t", galleries=[shown]))
    (uri,) = (a["src"] for a in Page(path.read_text()).all("img") if "em" in a["alt"])
    assert uri.startswith("data:image/png;base64,"), "flat colours are smaller as PNG"
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))
    assert np.array_equal(drawn, overlay(image, parts, colours(1), ExclusiveMaps(1)))


def test_large_photographs_are_reduced(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 255, (600, 900, 3), dtype=np.uint8)
    parts = np.zeros((600, 900), np.uint8)
    parts[:, 450:] = 1
    shown = Gallery("g", image[None], parts[None], {"em": parts[None]}, ("a",), Legend(("head",), ExclusiveMaps(1)))
    path = write_report(tmp_path / "r.html", [], Given("t", galleries=[shown]))
    pictures = Page(path.read_text()).all("img")
    assert {(a["width"], a["height"]) for a in pictures} == {("256", "171")}
    assert path.stat().st_size < 500_000


def test_what_is_missing_is_left_out_with_a_word(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path / "r.html", [], Given("empty")).read_text())
    assert not page.all("section") and not page.all("a")
    text = " ".join(page.text.split())
    assert "nothing was given: results, the parts, validation, training on an image, examples, losses" in text
    some = replace(everything(), strips=(), metrics=())
    page = Page(write_report(tmp_path / "r.html", rows(), some).read_text())
    assert [a["id"] for a in page.all("section")] == ["results", "parts", "examples", "settings", "problems"]
    assert "nothing was given: validation, training on an image, losses." in page.text


def test_rows_of_a_strip_may_lack_epochs(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path / "r.html", [], Given("t", strips=everything().strips)).read_text())
    heads = [a for a in page.all("th") if a.get("scope") == "col"]
    assert len(heads) == 4, "image, truth, Init, epoch 7"
    assert len(page.all("div", class_="wide")) == 1, "the part model has no Init"


@pytest.mark.parametrize("wrong", [np.full((24, 32), 9, np.uint8), np.zeros((24, 31), np.uint8)])
def test_part_maps_that_do_not_fit_are_named(tmp_path: Path, wrong: np.ndarray) -> None:
    strip = replace(everything().strips[0], rows=[("part model", [("epoch 7", wrong, None)])])
    with pytest.raises(ValueError, match=r"a strip, part model, epoch 7: .*expected"):
        write_report(tmp_path / "r.html", rows(), Given("t", strips=[strip]))
    with pytest.raises(ValueError, match=r"good\.png, em: .*expected"):
        write_report(tmp_path / "r.html", rows(), Given("t", galleries=[gallery("good.png", em=wrong)]))
    assert not list(tmp_path.iterdir())


def test_the_page_of_several_conditions_needs_nothing_else(tmp_path: Path) -> None:
    page = write_report(tmp_path / "r.html", curve_rows(), Given("toy <b>", facts={"machine": "two cores"})).read_text()
    assert "toy &lt;b&gt;" in page
    assert page.count("<table") == 4, "an overview and one table for each number of part masks"
    assert "<svg" in page
    assert "two cores" in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "x4.0" in page
    assert [a["id"] for a in Page(page).all("section")] == ["results", "efficiency", "settings"]


def test_of_many_methods_the_parts_are_a_table_alone(tmp_path: Path) -> None:
    many = [replace(r, method=f"m{i}", seed=0) for i, r in enumerate(rows() * 2)]
    page = Page(write_report(tmp_path / "r.html", many, Given("t")).read_text())
    assert not page.all("svg") and len(page.all("table")) == 2
    page = Page(write_report(tmp_path / "r.html", many[:6], Given("t")).read_text())
    assert len(page.all("svg")) == 1 and len(page.all("table")) == 2


def test_a_folder_of_results_has_every_form_of_them(tmp_path: Path) -> None:
    [table] = write_folder(tmp_path, rows(), everything())
    names = {"results.csv", "margins.csv", "by_part.csv", "table.md", "report.html"}
    assert {p.name for p in tmp_path.iterdir()} == names
    assert read_results(tmp_path / "results.csv") == rows()
    assert [m.method for m in read_margins(tmp_path / "margins.csv")] == ["em"]
    assert list(read_parts(tmp_path / "by_part.csv")[30, "all", "weights"]) == ["fine-tuning", "em"]
    assert f"## {table.title}" in (tmp_path / "table.md").read_text()
