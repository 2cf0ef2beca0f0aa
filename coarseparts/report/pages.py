"""The report of a run or a benchmark: one HTML file that needs nothing else, no network and no script."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from coarseparts.evaluation.iou import confusion, iou
from coarseparts.report import comparison, figures, tables
from coarseparts.report.overlay import IGNORE, overlay
from coarseparts.report.palette import colours
from coarseparts.report.published import Table as Published
from coarseparts.system.text import readable

_LARGEST = 256  # pixels: longer sides of pictures are reduced to it, or a report of large photographs gets too big
_PAGE = 1080  # CSS pixels that a row of tiles may take on a laptop


def write_report(
    path: str | Path,
    title: str,
    subtitle: str = "",
    *,
    results: Iterable[tables.Row] = (),
    metrics: Iterable[figures.Row] = (),
    iou: Mapping[str, Mapping[str, float]] | None = None,
    strips: Sequence[Mapping[str, Any]] = (),
    gallery: Sequence[Mapping[str, Any]] = (),
    parts: Sequence[str] = (),
    overlapping: bool = False,
    facts: Mapping[str, Any] | None = None,
    problems: Sequence[str] = (),
    reference: str | None = "fine-tuning",
    main: str | None = None,
) -> Path:
    """Write ``path``, an HTML page in UTF-8, whole or not at all; returns the path.

    results: rows of results.csv (``tables.Row``). metrics: lines of metrics.csv (``figures.Row``), read as
        ``figures.validation_curves`` (percent) and ``figures.loss_curves`` say.
    iou: {model: {part: percent}}.
    strips: how training went on one image each, as the paper's Fig. 4: {"title": str, "image": (H, W, 3) uint8,
        "truth": (H, W) | None, "rows": [(label, [(epoch label, parts (H, W)[, validation part mIoU in percent])])]};
        rows are shown from top to bottom, an epoch that a row lacks stays empty.
    gallery: {"name": str, "image": (H, W, 3) uint8, "truth": (H, W) | None, "predictions": {model: (H, W)},
        "iou": the image's part mIoU in percent, or {model: percent}, or None, "worst": bool}, shown in this order.
    parts: part names, index 1..P; part maps hold 0..P and 255 (ignored), or bit fields where they may be overlapping.
    facts: settings, times, the machine: {name: value or {name: value}}.
    problems: what was wrong or repaired in the data, a line each.
    reference, main: the methods that the sentence at the top compares (``tables.headline``).

    What is empty is left out and the page says so. All texts are made visible (``text.readable``) and escaped. Raises
    ValueError if an image and its part maps do not fit or a part map holds an index without a name.
    """
    results, metrics, iou = list(results), list(metrics), dict(iou or {})
    palette = colours(len(parts))
    legend = _Legend(tuple(parts), palette, overlapping)
    curves = figures.validation_curves(metrics)
    series = [*(str(row["method"]) for row in results), *iou, *(name for lines in curves.values() for name in lines)]
    by_name = figures.series_colours(series)
    validation = figures.validation_panels(metrics, by_name)
    heads, body = tables.cells(results, reference) if results else ([], [])
    methods = list(dict.fromkeys(str(row["method"]) for row in results))
    drawing = bool(iou) and bool(parts or any(iou.values()))
    context = {
        "title": title,
        "subtitle": subtitle,
        "headline": tables.headline(results, main, reference),
        "heads": heads,
        "body": body,
        "main": tables.main_method(methods, main),
        "runs": [_run(row) for row in results] if len(results) > len(methods) else [],
        "validation": {stage: (Markup(svg), legend) for stage, (svg, legend) in validation.items()},
        "losses": {s: {t: Markup(svg) for t, svg in of.items()} for s, of in figures.loss_panels(metrics).items()},
        "bars": Markup(figures.part_bars(iou, list(parts) or None, by_name)) if drawing else "",
        "bar_legend": {name: by_name[name] for name in iou},
        "strips": [_strip(strip, legend) for strip in strips],
        "gallery": [_card(card, legend) for card in gallery],
        "parts": [(name, "#" + bytes(colour.tolist()).hex()) for name, colour in zip(parts, palette, strict=True)],
        "facts": _groups(facts or {}),
        "problems": list(problems),
    }
    context["left_out"] = _left_out(context)
    return tables.write_text(path, _page("report.html.jinja", context))


@dataclass(frozen=True)
class Gallery:
    """Some images (N, S, S, 3) with their true part maps (N, S, S) and those of several methods, by name."""

    title: str
    predictions: Mapping[str, np.ndarray]
    images: np.ndarray
    truth: np.ndarray
    names: tuple[str, ...]
    parts: tuple[str, ...]
    overlapping: bool

    def cards(self, count: int = 6) -> list[dict[str, Any]]:
        """``count`` images as ``write_report`` takes them: a third of them where the first method does worst."""
        classes = len(self.parts) + 1
        score = {
            name: [_part_miou(counts) for counts in confusion(maps, self.truth, classes, self.overlapping)]
            for name, maps in self.predictions.items()
        }
        order = np.argsort(next(iter(score.values())), kind="stable")
        worst = order[: max(1, count // 3)]
        rest = order[len(worst) :]
        spread = rest[np.unique(np.linspace(0, len(rest) - 1, count - len(worst)).astype(int))] if len(rest) else rest
        return [
            {
                "name": self.names[i],
                "image": self.images[i],
                "truth": self.truth[i],
                "predictions": {name: maps[i] for name, maps in self.predictions.items()},
                "iou": {name: scores[i] for name, scores in score.items()},
                "worst": i in worst,
            }
            for i in [*worst, *spread]
        ]


def _part_miou(counts: np.ndarray) -> float:
    shown = iou(counts)[1:]
    return 100 * float(np.nanmean(shown)) if not np.isnan(shown).all() else 0.0


def write_benchmark_report(
    path: str | Path,
    title: str,
    results: Iterable[comparison.Result],
    facts: Mapping[str, str] | None = None,
    published: Published | None = None,
    pictures: Sequence[Gallery] = (),
) -> Path:
    """Write a benchmark's tables, label-efficiency curves, multipliers and pictures as one HTML page; returns the path.

    ``published``: the paper's numbers (``published.PUBLISHED``).
    """
    results = list(results)
    found, curves, sentences = comparison.condition_tables(results, published=published), [], []
    for (labels, start), lines in comparison.label_curves(results).items():
        colours_by_name = figures.series_colours(lines)
        svg = Markup(figures.label_curve(lines, colours_by_name))
        curves.append((f"{labels}, from {start}", svg, {name: colours_by_name[name] for name in lines}))
        sentences += comparison.multiplier_sentence(lines, "em", "fine-tuning")
    seeds = sorted({r.seed for r in results})
    context = {
        "title": title,
        "subtitle": f"{len({r.method for r in results})} methods, {len(found)} set{'s' * (len(found) != 1)} of "
        f"conditions, seeds {', '.join(map(str, seeds))}",
        "sentences": sentences,
        "overview": comparison.overview(results) if len(found) > 1 else None,
        "tables": found,
        "parts": {name: table for name, *table in comparison.part_tables(comparison.by_part(results))},
        "curves": curves,
        "galleries": [_gallery(gallery) for gallery in pictures],
        "facts": dict(facts or {}),
    }
    return tables.write_text(path, _page("benchmark.html.jinja", context))


def _gallery(gallery: Gallery) -> tuple[str, dict[str, str], list[dict[str, Any]]]:
    palette = colours(len(gallery.parts))
    legend = _Legend(gallery.parts, palette, gallery.overlapping)
    colour_of = {name: "#" + bytes(rgb.tolist()).hex() for name, rgb in zip(gallery.parts, palette, strict=True)}
    return gallery.title, colour_of, [_card(card, legend) for card in gallery.cards()]


def _page(template: str, context: Mapping[str, Any]) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else readable(str(value)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(context)


def _left_out(context: Mapping[str, Any]) -> list[tuple[str, str]]:
    reasons = {
        "body": ("Results", "no results were given"),
        "validation": ("Validation curves", "the metrics hold no part mIoU"),
        "bars": ("IoU of each part", "no IoU by part was given"),
        "strips": ("Training on an image", "no part maps were kept during training"),
        "gallery": ("Examples", "no predictions were given"),
        "losses": ("Losses", "the metrics hold no loss"),
        "facts": ("Settings", "none were given"),
        "problems": ("Problems in the data", "none were found"),
    }
    return [reason for key, reason in reasons.items() if not context[key]]


def _run(row: tables.Row) -> list[str]:
    numbers = (math.nan if row[n] is None else float(row[n]) for n in tables.COLUMNS[2:-1])
    seconds = math.nan if row["seconds"] is None else float(row["seconds"])
    texts = ("-" if math.isnan(n) else f"{n:.2f}" for n in numbers)
    return [str(row["method"]), str(row["seed"]), *texts, tables.duration(seconds)]


@dataclass(frozen=True)
class _Legend:
    parts: tuple[str, ...]
    colours: np.ndarray
    overlapping: bool


def _strip(strip: Mapping[str, Any], legend: _Legend) -> dict[str, Any]:
    image, what = strip["image"], str(strip["title"])
    epochs = list(dict.fromkeys(str(entry[0]) for _, entries in strip["rows"] for entry in entries))
    first = [{"heading": "image", "tile": _picture(image, f"{what}: the image")}]
    if strip.get("truth") is not None:
        first.append({"heading": "truth", "tile": _tile(image, strip["truth"], f"{what}, truth", legend)})
    rows, any_percent = [], False
    for label, entries in strip["rows"]:
        by_epoch: dict[str, tuple[Any, str] | None] = dict.fromkeys(epochs)
        for epoch, prediction, *percent in entries:
            value = _percent(percent[0] if percent else None)
            any_percent = any_percent or bool(value)
            by_epoch[str(epoch)] = (_tile(image, prediction, f"{what}, {label}, {epoch}", legend), value)
        rows.append((str(label), list(by_epoch.values())))
    width = _width(image, len(first) + len(epochs) + 1)
    return {"title": what, "first": first, "epochs": epochs, "rows": rows, "percent": any_percent, "width": width}


def _card(card: Mapping[str, Any], legend: _Legend) -> dict[str, Any]:
    image, name, quality = card["image"], str(card["name"]), card.get("iou")
    each = quality if isinstance(quality, Mapping) else {}
    tiles = [("image", _picture(image, f"{name}: the image"), "")]
    if card.get("truth") is not None:
        tiles.append(("truth", _tile(image, card["truth"], f"{name}, truth", legend), ""))
    for model, prediction in card["predictions"].items():
        tile = _tile(image, prediction, f"{name}, {model}", legend)
        tiles.append((str(model), tile, _percent(each.get(model))))
    return {
        "name": name,
        "tiles": tiles,
        "iou": "" if each else _percent(quality),
        "worst": bool(card.get("worst")),
        "width": min(_width(image, len(tiles)), max(90, (_PAGE - 30) // max(len(tiles), 4) - 5)),
    }


def _tile(image: np.ndarray, part_map: np.ndarray, what: str, legend: _Legend) -> dict[str, Any]:
    """An image with its parts as a picture; the alternative text says what it is of and which parts are in it."""
    image, part_map = np.asarray(image), np.asarray(part_map)
    if part_map.shape != image.shape[:2]:
        raise ValueError(f"{what}: the part map is {part_map.shape}, the image {image.shape}; expected the same size")
    small = _reduced(image)
    if small is not image:
        rows, columns = (np.arange(n) * size // n for n, size in zip(small.shape, part_map.shape, strict=False))
        part_map = part_map[rows[:, None], columns]
    try:
        drawn = overlay(small, part_map, legend.colours, overlapping=legend.overlapping)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    values = [value for value in np.unique(part_map).tolist() if 0 < value != IGNORE]
    if legend.overlapping:
        there = [part for p, part in enumerate(legend.parts) if any(value >> p & 1 for value in values)]
    else:
        there = [legend.parts[value - 1] for value in values]
    return _picture(drawn, f"{what}: {', '.join(there) or 'no part'}")


def _picture(pixels: np.ndarray, alt: str) -> dict[str, Any]:
    """(H, W, 3) uint8 -> a picture with its data as a URI, PNG or JPEG, whichever is the smaller."""
    pixels = np.ascontiguousarray(_reduced(np.asarray(pixels)), np.uint8)
    encoded = []
    for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": 90, "subsampling": 0})):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format=kind, **options)
        encoded.append((buffer.tell(), kind, buffer.getvalue()))
    _, kind, data = min(encoded)
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return {"uri": uri, "alt": alt, "width": pixels.shape[1], "height": pixels.shape[0]}


def _reduced(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    factor = _LARGEST / max(height, width)
    if factor >= 1:
        return pixels
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BOX))


def _width(image: np.ndarray, columns: int) -> int:
    """CSS pixels of a tile: as many tiles side by side as the page takes, enlarged by whole numbers if possible."""
    native = min(_LARGEST, np.shape(image)[1])
    room = min(192, max(88, _PAGE // columns))
    return native * (room // native) if native <= room and native * (room // native) >= 0.9 * room else room


def _percent(value: Any) -> str:
    return "" if value is None or math.isnan(float(value)) else f"{float(value):.1f} %"


def _groups(facts: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Facts without a group first, then the groups."""
    alone = [(str(k), _said(v)) for k, v in facts.items() if not isinstance(v, Mapping)]
    groups = [(str(k), v) for k, v in facts.items() if isinstance(v, Mapping) and v]
    return [("", alone)] * bool(alone) + [(k, [(str(n), _said(v)) for n, v in of.items()]) for k, of in groups]


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} = {_said(v)}" for k, v in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(_said(v) for v in value) or "none"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
