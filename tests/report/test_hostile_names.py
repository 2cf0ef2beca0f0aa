"""Names of a user's that hold commands, markup or formulas arrive as visible text in every table, figure and page."""

from __future__ import annotations

import csv
import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import LONG, NAMES, is_plain
from PIL import Image
from rich.console import Console
from rows import result
from test_pages import Page, everything

from coarseparts.data.sample import Sample
from coarseparts.labels.part_maps import ExclusiveMaps
from coarseparts.labels.schema import Schema, unfit
from coarseparts.report import figures, results, tables
from coarseparts.report.contact_sheet import contact_sheet
from coarseparts.report.pages import Page as Given
from coarseparts.report.pages import write_report
from coarseparts.report.palette import fitting, font
from coarseparts.report.pictures import Gallery, Legend
from coarseparts.system.text import abridged, from_csv_cell, markdown_cell, readable

PLAIN = tuple(f"n{i}" for i in range(len(NAMES)))


def metrics(names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Every name as a model that is validated, some as terms of the loss and as a stage."""
    lines = [(names[0], f"val/{name}_part_miou") for name in names] + [(name, name) for name in names[:6]]
    return [{"stage": s, "epoch": e, "name": name, "value": 2.0 + e} for s, name in lines for e in (1, 2)]


def report(path: Path, names: tuple[str, ...]) -> str:
    """A report of one set of conditions in which every name stands wherever a user's name may."""
    legend, count = Legend(names, ExclusiveMaps(len(names))), len(names)
    image, truth = np.zeros((24, 32, 3), np.uint8), np.zeros((24, 32), np.uint8)
    truth[0, :count] = range(1, count + 1)
    strip = everything().strips[0]
    counts = np.ones((2, count + 1, count + 1), np.int64)
    rows = [result(n, "ours", 50, seed=i % 2, counts=counts, names=names, start=names[1]) for i, n in enumerate(names)]
    maps = {n: np.stack([truth] * count) for n in names[:3]}
    page = Given(
        names[0],
        names[1],
        metrics=metrics(names),
        strips=[replace(strip, title=n, truth=truth, rows=[(n, [(n, truth, 1.0)])], legend=legend) for n in names],
        galleries=[Gallery(names[3], np.stack([image] * count), maps[names[0]], maps, names, legend)],
        facts={n: n for n in names},
        problems=names,
    )
    return write_report(path, rows, page).read_text(encoding="utf-8")


def report_of_several(path: Path, names: tuple[str, ...]) -> str:
    """A report of several sets of conditions."""
    counts = np.ones((2, len(names) + 1, len(names) + 1), np.int64)
    given: dict[str, Any] = {"counts": counts, "names": names, "labels": names[0], "start": names[1]}
    rows = [result(n, "baseline", 50, parts=k, **given) for k in (10, 20) for n in names]
    return write_report(path, rows, Given(names[0], names[2], problems=names)).read_text(encoding="utf-8")


def skeleton(page: Page) -> list[tuple[str, tuple[str, ...]]]:
    """Elements in their order, with the attributes that they have; without figures, whose size follows the names."""
    figures = {"svg", "g", "path", "text", "rect", "use", "defs", "clippath"}
    return [(tag, tuple(sorted(attributes))) for tag, attributes in page.tags if tag not in figures]


@pytest.mark.parametrize("write", [report, report_of_several])
def test_a_page_of_hostile_names_has_the_elements_of_a_plain_one(tmp_path: Path, write: Any) -> None:
    html = write(tmp_path / "r.html", NAMES)
    assert is_plain(html)
    page, plain = Page(html), Page(write(tmp_path / "plain.html", PLAIN))
    assert skeleton(page) == skeleton(plain)
    assert {t for t, _ in page.tags} == {t for t, _ in plain.tags}
    assert not [a for _, attributes in page.tags for a in attributes if a.startswith("on")]
    for name in NAMES:
        assert readable(name) in page.text


def test_figures_are_xml_with_the_names_in_it() -> None:
    iou = {model: {part: float(i) for i, part in enumerate(NAMES)} for model in NAMES[:3]}
    svgs = [figures.part_bars(iou), figures.label_curve({n: [(1, 2.0, 1.0, 3.0), (10, 4.0, 3.0, 5.0)] for n in NAMES})]
    svgs += [svg for svg, _ in figures.validation_panels(metrics(NAMES)).values()]
    svgs += [svg for terms in figures.loss_panels(metrics(NAMES)).values() for svg in terms.values()]
    for svg in svgs:
        assert is_plain(svg) and {e.tag for e in ET.fromstring(svg).iter()} <= {
            *("svg", "g", "path", "text", "rect", "use", "defs", "clipPath"),
        }
    texts = [e.text or "" for e in ET.fromstring(svgs[0]).iter("text")]
    assert [t for t in texts if t in {abridged(n) for n in NAMES}] == [abridged(n) for n in NAMES], "in their order"
    label = ET.fromstring(svgs[1]).attrib["aria-label"]
    assert all(readable(n) in label for n in NAMES)


def test_long_names_leave_the_bars_their_room() -> None:
    def bars(*names: str) -> tuple[float, float]:
        svg = ET.fromstring(figures.part_bars({"m": dict.fromkeys(names, 50.0)}))
        drawn = [e.attrib["d"] for e in svg.iter("path") if "fill: #2f7fd1" in e.attrib.get("style", "")]
        across = [float(x) for x in re.findall(r"[ML] ([\d.]+) ", drawn[-1])]
        return max(across) - min(across), float(svg.attrib["viewBox"].split()[2])

    assert bars("head", "tail")[1] == 460
    long, wide = bars("head", LONG)
    assert long > 120 and 460 < wide < 800


def test_tables_of_hostile_names_come_back_as_visible_text(tmp_path: Path) -> None:
    seen = [readable(name) for name in NAMES]
    rows = [result(n, "ours", 50, labels=n, start=n) for n in NAMES]
    results.write_results(tmp_path / "r.csv", [replace(r, role=r.method) for r in rows])
    back = results.read_results(tmp_path / "r.csv")
    assert all([getattr(r, key) for r in back] == seen for key in ("method", "labels", "start", "role"))
    margins = [results.Margin(1, n, n, n, n, 1.0, 0.5, 1.5) for n in NAMES]
    results.write_margins(tmp_path / "m.csv", margins)
    assert [m.rival for m in results.read_margins(tmp_path / "m.csv")] == seen
    results.write_parts(tmp_path / "p.csv", {(1, "all", "weights"): {"em": dict.fromkeys(NAMES, 12.5)}})
    assert results.read_parts(tmp_path / "p.csv") == {(1, "all", "weights"): {"em": dict.fromkeys(seen, 12.5)}}
    for file in tmp_path.iterdir():
        text = file.read_text(encoding="utf-8")
        assert is_plain(text)
        cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line]
        assert not [c for c in cells if c.startswith(tuple("=+-@"))]
        assert set(seen) <= set(map(from_csv_cell, cells))


def test_markdown_and_terminal_show_the_names_and_obey_none() -> None:
    rows = [result(n, "baseline", 50, labels=NAMES[0]) for n in NAMES]
    for text in (tables.to_markdown(rows), tables.to_markdown(rows, NAMES[2])):
        assert is_plain(text) and not re.search(r"(?<!\\)[<>\[\]`*]", text)
        assert all(f"| {markdown_cell(n)} |" in text for n in NAMES)
        lines = [line for line in text.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1, "as many cells in every row"
    out = io.StringIO()
    shown = [table._replace(title=NAMES[0]) for table in tables.result_tables(rows)]
    tables.print_tables(shown, Console(file=out, width=400, force_terminal=False))
    assert is_plain(out.getvalue())
    assert all(f" {readable(n)} " in out.getvalue() for n in NAMES)


def test_damaged_tables_are_named(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    for damage in (b"\xff\xfe", b"a" * 200_000, b"", b"\x00" * 40):
        file.write_bytes(damage)
        for read in (results.read_results, results.read_margins, results.read_parts):
            with pytest.raises(ValueError, match=r"t\.csv: is damaged"):
                read(file)
    for columns, read in (
        (results.COLUMNS, results.read_results),
        (results.MARGINS, results.read_margins),
        (results.PARTS, results.read_parts),
    ):
        file.write_text(",".join(columns) + "\n1\n")  # a line that was cut off
        with pytest.raises(ValueError, match=r"t\.csv, line 2"):
            read(file)


def test_pictures_take_every_name(tmp_path: Path) -> None:
    pixels, parts = np.zeros((32, 32, 3), np.uint8), np.ones((32, 32), np.uint8)
    fit = tuple(name for name in NAMES if not unfit(name))
    schema = Schema(parts=fit, keypoints=fit)
    samples = [Sample(name, pixels, parts=parts) for name in NAMES]
    with Image.open(contact_sheet(samples, schema, tmp_path / "s.png", size=64)) as picture:
        assert picture.width < 1000, "no name, however long, sets the sheet's width"


def test_a_text_that_fits_is_whole_and_another_keeps_its_end() -> None:
    assert fitting("a\x1bb", 500, 12) == r"a\x1bb"
    cut = fitting(LONG * 5000, 100, 12)
    assert cut.startswith("...") and LONG.endswith(cut[3:]) and font(12).getlength(cut) <= 100
