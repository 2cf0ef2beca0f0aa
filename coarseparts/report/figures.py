"""Curves and bars as SVG text to be put into an HTML page.

Ink is ``currentColor`` and the ground is clear, so that a figure takes the page's light or dark colours; text stays
text. Only matplotlib's objects are used, not pyplot, and no setting of the process is changed.
"""

from __future__ import annotations

import hashlib
import html
import io
import math
import re
import statistics
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from coarseparts.report.palette import font
from coarseparts.system.text import abridged, readable

Row = Mapping[str, Any]
"""A line of metrics.csv: stage (str), epoch (int), name (str), value (float); more columns do no harm."""

# Between light and dark, so that they are seen on either ground; blue and orange first, safe for the colour-blind.
_SERIES = ("#2f7fd1", "#e0791b", "#8f62c9", "#1d9a6c", "#d04a4a", "#9a8f1c", "#1b9bb0", "#c2619b")
_INK = "#010203"  # stands for currentColor until the text is written
_PANEL = (270, 180)  # points; a page scales it to its column
_NO_LOSS = ("val", "test", "scale")  # what the other names in metrics.csv begin with


def series_colours(names: Iterable[str]) -> dict[str, str]:
    """A colour (#rrggbb) for each name, in the order in which they first come; eight, then they come again."""
    return {name: _SERIES[i % len(_SERIES)] for i, name in enumerate(dict.fromkeys(names))}


def validation_curves(rows: Iterable[Row]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Part mIoU (percent) by epoch: stage -> series -> [(epoch, value)], from the rows that are called part_miou.

    The series is the model: ``val/posterior_part_miou`` and ``val/posterior/part_miou`` belong to "posterior",
    ``val/part_part_miou`` to "part model", a bare ``part_miou`` to one that is called like the stage. Values of the
    same epoch are averaged, nan left out.
    """
    found: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        name = str(row["name"])
        if re.search(r"(^|[/_])part_miou$", name):
            model = name.removesuffix("part_miou").removeprefix("val/").rstrip("/_") or str(row["stage"])
            series = "part model" if model == "part" else model
            found.setdefault(str(row["stage"]), {}).setdefault(series, []).append(row)
    return _by_epoch(found)


def loss_curves(rows: Iterable[Row]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Loss terms by epoch: stage -> term -> [(epoch, value)].

    A term is what is not called ``val/...``, ``test/...`` or ``scale/...`` (a label model's fitted scale); a leading
    ``loss/`` is left out of its name. Values of the same epoch are averaged, nan left out.
    """
    found: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        name = str(row["name"])
        if name.split("/")[0] not in _NO_LOSS and not name.endswith("part_miou"):
            found.setdefault(str(row["stage"]), {}).setdefault(name.removeprefix("loss/"), []).append(row)
    return _by_epoch(found)


def validation_panels(
    rows: Iterable[Row], colours: Mapping[str, str] | None = None
) -> dict[str, tuple[str, dict[str, str]]]:
    """A panel per stage: stage -> (SVG, colour by series), a line per series, one percent axis for all of them.

    The best epoch of each series is marked with its value. ``colours`` fixes the colour of series by name.
    """
    curves = validation_curves(rows)
    known = series_colours([*(colours or {}), *(name for lines in curves.values() for name in lines)])
    known |= colours or {}
    top = max((v for lines in curves.values() for points in lines.values() for _, v in points), default=0.0)
    panels = {}
    for stage, lines in curves.items():
        with _settings():
            figure, axes = _axes(*_PANEL)
            axes.set_ylim(0, _ceiling(top))
            axes.yaxis.set_major_formatter("{x:.0f} %")
            axes.set_xlabel("epoch")
            highest = max(lines, key=lambda name: max(v for _, v in lines[name]))
            for name, points in lines.items():
                _line(axes, points, known[name])
                best = max(v for _, v in points)
                _mark_best(axes, points, known[name], below=name != highest and best > 0.12 * _ceiling(top))
            bests = (f"{name} at best {max(v for _, v in points):.1f} %" for name, points in lines.items())
            svg = _svg(figure, f"Validation part mIoU over the epochs of {stage}: {', '.join(bests)}")
        panels[stage] = (svg, {name: known[name] for name in lines})
    return panels


def loss_panels(rows: Iterable[Row]) -> dict[str, dict[str, str]]:
    """A small panel per loss term, its own scale each: stage -> term -> SVG."""
    panels: dict[str, dict[str, str]] = {}
    for stage, terms in loss_curves(rows).items():
        for term, points in terms.items():
            with _settings():
                figure, axes = _axes(230, 130)
                _line(axes, points, _SERIES[0])
                axes.margins(y=0.12)
                axes.yaxis.set_major_locator(MaxNLocator(4))
                axes.ticklabel_format(axis="y", useOffset=False)
                axes.set_xlabel("epoch")
                text = f"Loss term {term} of {stage}: {points[0][1]:.3g} at first, {points[-1][1]:.3g} at last"
                panels.setdefault(stage, {})[term] = _svg(figure, text)
    return panels


def part_bars(
    iou: Mapping[str, Mapping[str, float]],
    parts: Sequence[str] | None = None,
    colours: Mapping[str, str] | None = None,
) -> str:
    """Horizontal bars of IoU in percent, ``{model: {part: percent}}``, grouped by part, the models' mean on top.

    ``parts``: which, and in which order (default: as they come). A part that a model has no number for (absent, None
    or nan) gets "n/a" and enters no mean. Raises ValueError if there is nothing to draw.
    """
    names = list(dict.fromkeys(p for of in iou.values() for p in of) if parts is None else parts)
    if not iou or not names:
        raise ValueError(f"{len(iou)} models and {len(names)} parts: nothing to draw; give at least one of each")
    known = series_colours([*(colours or {}), *iou]) | dict(colours or {})
    values = {m: [_percent(of.get(p)) for p in names] for m, of in iou.items()}
    means = {m: _mean([v for v in vs if not math.isnan(v)]) for m, vs in values.items()}
    bar, gap = (12, 9) if len(iou) > 1 else (13, 7)
    group = len(iou) * bar + gap
    height = (len(names) + 1) * group + gap + 34
    top = _ceiling(max([0.0, *(v for vs in values.values() for v in vs if not math.isnan(v))]))
    labels = ["mean of parts", *map(abridged, names)]
    width = max(460.0, 260 + max(font(11).getlength(label) for label in labels))
    with _settings():
        figure, axes = _axes(width, height, grid="x")
        centres = [gap + group / 2 + i * group + (gap if i else 0) for i in range(len(names) + 1)]
        for m, model in enumerate(iou):
            for centre, value in zip(centres, [means[model], *values[model]], strict=True):
                y = centre + (m - (len(iou) - 1) / 2) * bar
                drawn = 0.0 if math.isnan(value) else value
                axes.barh(y, drawn, height=bar - 1.5, color=known[model], linewidth=0)
                label = "n/a" if math.isnan(value) else f"{value:.1f}"
                axes.annotate(label, (drawn, y), (4, 0), textcoords="offset points", va="center_baseline", fontsize=10)
        axes.axhline((centres[0] + centres[1]) / 2, color=_INK, alpha=0.25, linewidth=0.8)
        axes.set_yticks(centres, labels, fontsize=11)
        axes.get_yticklabels()[0].set_fontweight("bold")
        axes.set_ylim(centres[-1] + group / 2 + gap / 2, 0)
        axes.set_xlim(0, top)
        axes.set_xlabel("IoU, %")
        texts = ", ".join("no number" if math.isnan(v) else f"{m} {v:.1f} %" for m, v in means.items())
        return _svg(figure, f"IoU of each part; mean of parts: {texts}")


def label_curve(lines: Mapping[str, Sequence[tuple[float, ...]]], colours: Mapping[str, str] | None = None) -> str:
    """Part mIoU against the number of part masks: a line with its interval per method, logarithmic across; SVG.

    ``lines``: method -> [(part masks, percent, low, high)]; nan as low or high leaves the interval out.
    """
    known = series_colours(lines) | dict(colours or {})
    with _settings():
        figure, axes = _axes(560, 320)
        axes.set_xscale("log")
        for name, points in lines.items():
            x, y, low, high = ([p[i] for p in points] for i in range(4))
            if not any(math.isnan(v) for v in (*low, *high)):
                axes.fill_between(x, low, high, color=known[name], alpha=0.15, linewidth=0)
            axes.plot(x, y, color=known[name], linewidth=1.8, marker="o", markersize=4.5)
        ticks = sorted({p[0] for points in lines.values() for p in points})
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.yaxis.set_major_formatter("{x:.0f} %")
        axes.set_xlabel("part masks")
        ends = (
            f"{name} {p[0][1]:.1f} % with {p[0][0]:.0f}, {p[-1][1]:.1f} % with {p[-1][0]:.0f}"
            for name, p in lines.items()
        )
        return _svg(figure, f"Part mIoU by the number of part masks: {'; '.join(ends)}")


def _by_epoch(found: Mapping[str, Mapping[str, Iterable[Row]]]) -> dict[str, dict[str, list[tuple[int, float]]]]:
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for stage, lines in found.items():
        for name, rows in lines.items():
            epochs: dict[int, list[float]] = {}
            for row in rows:
                value = _percent(row["value"])
                if math.isfinite(value):
                    epochs.setdefault(int(row["epoch"]), []).append(value)
            if epochs:
                points = [(epoch, statistics.fmean(values)) for epoch, values in sorted(epochs.items())]
                curves.setdefault(stage, {})[name] = points
    return curves


def _settings() -> AbstractContextManager[None]:
    """Text as text, and no name read as mathematics: "$" is allowed in a part's name."""
    return matplotlib.rc_context({"svg.fonttype": "none", "text.parse_math": False, "font.size": 10})


def _axes(width: float, height: float, grid: str = "y") -> tuple[Figure, Axes]:
    """Axes of ``width`` x ``height`` points in ink on nothing, with light grid lines and no frame."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    for side, spine in axes.spines.items():
        spine.set_visible(side == ("bottom" if grid == "y" else "left"))
        spine.set_color(_INK)
        spine.set_alpha(0.5)
    axes.grid(axis="y" if grid == "y" else "x", color=_INK, alpha=0.13, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=_INK, labelsize=10.5)
    if grid == "y":
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    return figure, axes


def _line(axes: Axes, points: Sequence[tuple[int, float]], colour: str) -> None:
    x, y = [p[0] for p in points], [p[1] for p in points]
    axes.plot(x, y, color=colour, linewidth=1.8, marker="o" if len(x) == 1 else "", markersize=4)


def _mark_best(axes: Axes, points: Sequence[tuple[int, float]], colour: str, below: bool) -> None:
    """A dot and the value at the best epoch, above or below the line: two series close together need both."""
    epoch, value = max(points, key=lambda p: p[1])
    axes.plot([epoch], [value], marker="o", markersize=4.5, color=colour)
    at_start, at_end = (epoch == points[i][0] and len(points) > 1 for i in (0, -1))
    across = "left" if at_start else "right" if at_end else "center"
    axes.annotate(
        f"{value:.1f}",
        (epoch, value),
        (0, -6 if below else 5),
        textcoords="offset points",
        ha=across,
        va="top" if below else "bottom",
        fontsize=10.5,
        color=colour,
    )


def _ceiling(percent: float) -> float:
    """End of a percent axis: the next ten with room for a number behind the bar or above the line."""
    return min(108.0, 10 * math.ceil(max(percent, 5) * 1.1 / 10)) if percent < 97 else 108.0


def _percent(value: Any) -> float:
    return math.nan if value is None else float(value)


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan


def _svg(figure: Figure, label: str) -> str:
    """The figure as one <svg> element to stand in HTML, with ``label`` for those who do not see it.

    Without prolog, metadata and namespaces, which HTML knows by itself; ids are made unlike those of other figures.
    """
    for axes in figure.axes:
        for text in (*axes.texts, axes.xaxis.label, *axes.get_yticklabels()):
            if text.get_color() == "black":
                text.set_color(_INK)
    out = io.StringIO()
    key = hashlib.sha256(label.encode("utf-8", "replace")).hexdigest()[:8]
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": key}), warnings.catch_warnings():
        # The page's own fonts draw the text; that matplotlib's lack a sign only makes its width a guess.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        FigureCanvasSVG(figure).print_svg(out, metadata=nothing)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    # matplotlib's style element would reach the whole page.
    for unwanted in (r"<metadata>.*?</metadata>", r"<!--.*?-->", r"<defs>\s*<style.*?</style>\s*</defs>"):
        svg = re.sub(unwanted, "", svg, flags=re.DOTALL)
    svg = re.sub("<[^>]*>", lambda tag: _own_tag(tag[0], key), svg)  # texts are names, and stay what they are
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None
    label = html.escape(readable(label), quote=True)
    width = f"--width: {figure.get_figwidth() * 72:.0f}px; "
    style = f"{width}font-family: system-ui, sans-serif; stroke-linejoin: round; stroke-linecap: butt"
    opening = f'<svg {box[0]} role="img" aria-label="{label}" style="{style}">'
    return re.sub(r"<svg[^>]*>", lambda _: opening, svg, count=1)


def _own_tag(tag: str, key: str) -> str:
    """A tag in the page's ink and font, its ids unlike those of other figures."""
    tag = re.sub(r"font-family: [^;\"]*; |\s+transform=\"rotate\(-0 [^\"]*\"", "", tag)
    tag = tag.replace("xlink:href", "href").replace(_INK, "currentColor")
    return re.sub(r'(\sid="|url\(#|href="#)', rf"\1f{key}-", tag)
