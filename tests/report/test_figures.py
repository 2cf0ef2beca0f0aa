"""Curves and bars: well-formed SVG with the numbers in it."""

import math
import re
import xml.etree.ElementTree as ET
from typing import Any

import matplotlib
import pytest

from coarseparts.report.figures import (
    loss_curves,
    loss_panels,
    part_bars,
    series_colours,
    validation_curves,
    validation_panels,
)


def metric(stage: str, epoch: int, name: str, value: float) -> dict[str, Any]:
    return {"stage": stage, "epoch": epoch, "name": name, "value": value}


METRICS = [
    *(metric("part-model", e, "val/part_part_miou", 10.0 + e) for e in range(1, 4)),
    *(metric("part-model", e, "labelled", 1.0 / e) for e in range(1, 4)),
    *(metric("em", e, "val/part_part_miou", 20.0 + e) for e in range(3)),
    *(metric("em", e, "val/posterior_part_miou", 44.4 - e) for e in range(3)),
    *(metric("em", e, "e/<b>$x_{$", 2.0 - e) for e in range(1, 3)),
    metric("em", 1, "scale/mask", 0.1),
    metric("em", 1, "val/keypoints", 0.2),
]


def words(svg: str) -> list[str]:
    return [(t.text or "") for t in ET.fromstring(svg).iter("text")]


def test_validation_curves_are_grouped_by_stage_and_model() -> None:
    curves = validation_curves(METRICS)
    assert curves == {
        "part-model": {"part model": [(1, 11.0), (2, 12.0), (3, 13.0)]},
        "em": {
            "part model": [(0, 20.0), (1, 21.0), (2, 22.0)],
            "posterior": [(0, 44.4), (1, 43.4), (2, 42.4)],
        },
    }


@pytest.mark.parametrize(
    ("name", "series"),
    [("part_miou", "em"), ("val/part_miou", "em"), ("val/posterior/part_miou", "posterior"), ("a b_part_miou", "a b")],
)
def test_series_are_named_after_the_model(name: str, series: str) -> None:
    assert list(validation_curves([metric("em", 1, name, 5.0)])["em"]) == [series]


def test_losses_are_what_is_neither_measure_nor_scale() -> None:
    assert loss_curves(METRICS) == {
        "part-model": {"labelled": [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]},
        "em": {"e/<b>$x_{$": [(1, 1.0), (2, 0.0)]},
    }


def test_values_of_an_epoch_are_averaged_and_nan_left_out() -> None:
    rows = [metric("a", 2, "loss/m", v) for v in (1.0, 3.0, math.nan)] + [metric("a", 3, "loss/m", math.inf)]
    assert loss_curves(rows) == {"a": {"m": [(2, 2.0)]}}
    assert loss_panels(rows)["a"]["m"].startswith("<svg")


def test_validation_panels_mark_the_best_epoch() -> None:
    panels = validation_panels(METRICS, {"posterior": "#123456"})
    svg, legend = panels["em"]
    assert legend["posterior"] == "#123456" and len(set(legend.values())) == 2
    assert "44.4" in words(svg) and "22.0" in words(svg) and "epoch" in words(svg)
    assert svg.count("#123456") >= 2, "the line and its mark"
    assert "posterior at best 44.4 %" in ET.fromstring(svg).attrib["aria-label"]
    # The same percent axis for all, so that stages compare.
    ticks = [[w for w in words(panels[s][0]) if w.endswith("%")] for s in panels]
    assert ticks[0] == ticks[1] and "40 %" in ticks[0]
    assert panels["part-model"][1]["part model"] == legend["part model"]


def test_a_loss_that_hardly_moves_has_plain_numbers() -> None:
    text = words(loss_panels([metric("em", e, "m/coarse", 2.368 + e * 1e-4) for e in range(4)])["em"]["m/coarse"])
    assert any(w.startswith("2.368") for w in text) and not any(w.startswith("+") for w in text)


def test_bars_hold_every_number_and_say_where_there_is_none() -> None:
    iou = {"em": {"head": 41.26, "a<b>&$c$": 100.0}, "fine-tuning": {"head": math.nan, "a<b>&$c$": 0.0}}
    svg = part_bars(iou, colours={"em": "#ab0000"})
    text = words(svg)
    assert {"41.3", "100.0", "0.0", "n/a", "70.6"} <= set(text)  # 70.6: the mean; fine-tuning's is 0.0
    assert text.count("0.0") == 2
    assert "head" in text and "a<b>&$c$" in text, "no name is read as mathematics or markup"
    assert svg.count("#ab0000") == 3
    assert "em 70.6 %" in ET.fromstring(svg).attrib["aria-label"]


def test_bars_take_the_given_order_and_refuse_nothing() -> None:
    text = words(part_bars({"m": {"a": 1.0, "b": 2.0}}, parts=["b", "a", "never seen"]))
    labels = [w for w in text if w in ("b", "a", "never seen")]
    assert labels == ["b", "a", "never seen"] and "n/a" in text
    for iou in ({}, {"m": {}}):
        with pytest.raises(ValueError, match="nothing to draw"):
            part_bars(iou)


def test_figures_follow_the_page_and_reach_nothing_outside() -> None:
    before = dict(matplotlib.rcParams)
    svgs = [svg for svg, _ in validation_panels(METRICS).values()]
    svgs += [svg for terms in loss_panels(METRICS).values() for svg in terms.values()]
    svgs.append(part_bars({"m": {"口": 3.0}}))
    assert dict(matplotlib.rcParams) == before
    ids: list[str] = []
    for svg in svgs:
        root = ET.fromstring(svg)
        assert root.attrib["role"] == "img" and root.attrib["aria-label"]
        assert "http" not in svg and "<style" not in svg
        assert "currentColor" in svg and "#000000" not in svg and "#010203" not in svg
        own = re.findall(r'\sid="([^"]*)"', svg)
        assert set(re.findall(r'(?:url\(|href=")#([^")]*)', svg)) <= set(own), "every reference has its target"
        ids += own
    assert len(ids) == len(set(ids)), "figures of one page have no id in common"
    assert "口" in words(svgs[-1])


def test_figures_are_the_same_every_time() -> None:
    assert part_bars({"m": {"a": 1.0}}) == part_bars({"m": {"a": 1.0}})


def test_colours_are_kept_by_name() -> None:
    assert series_colours(["a", "b", "a", "c"]) == series_colours(["a", "b", "c"])
    assert len(set(series_colours("abcdefgh").values())) == 8 and len(series_colours("abcdefghi")) == 9
