"""The report of a run, a comparison or a benchmark: one HTML file that needs nothing else, no network and no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from coarseparts.report import tables
from coarseparts.report.csv_files import write_text
from coarseparts.report.label_curves import label_curves
from coarseparts.report.model_card import ModelCard
from coarseparts.report.pictures import Gallery, Strip
from coarseparts.report.published import Table as Published
from coarseparts.report.results import (
    Margin,
    Result,
    by_part,
    main_method,
    margins,
    write_margins,
    write_parts,
    write_results,
)
from coarseparts.system.text import readable

if TYPE_CHECKING:
    from coarseparts.report import figures


@dataclass(frozen=True)
class Page:
    """What a report shows beside the results; what is empty is left out of it, and the page says so.

    ``published``: the paper's numbers, a column of the tables. ``metrics``: lines of metrics.csv (``figures.Row``),
    read as ``figures.validation_curves`` (percent) and ``figures.loss_curves`` say. ``facts``: settings, times, the
    machine. ``problems``: what was wrong or repaired in the data, and what did not come to an end, a line each.
    ``card``: of the model that was kept.
    """

    title: str
    subtitle: str = ""
    published: Published | None = None
    metrics: Sequence[figures.Row] = ()
    strips: Sequence[Strip] = ()
    galleries: Sequence[Gallery] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    problems: Sequence[str] = ()
    card: ModelCard | None = None


def write_folder(folder: Path, results: Sequence[Result], page: Page) -> list[tables.Table]:
    """``results.csv``, ``margins.csv``, ``by_part.csv``, ``table.md`` and ``report.html`` in a folder; returns the
    tables. Each file is written whole or not at all; ValueError names one that cannot be."""
    told = margins(results)
    write_results(folder / "results.csv", results)
    write_margins(folder / "margins.csv", told)
    write_parts(folder / "by_part.csv", by_part(results))
    write_text(folder / "table.md", tables.to_markdown(results, page.title, told, page.published))
    write_report(folder / "report.html", results, page, told)
    return tables.result_tables(results, told, page.published)


def write_report(path: Path, results: Sequence[Result], page: Page, told: Sequence[Margin] | None = None) -> Path:
    """An HTML page in UTF-8, whole or not at all; returns the path. ``told``: the margins, if they are known.

    All texts are made visible (``text.readable``) and escaped. Raises ValueError if an image and its part maps do not
    fit or a part map holds an index without a name.
    """
    from coarseparts.report import figures  # here, for matplotlib takes a second to import

    told = margins(results) if told is None else told
    found, parts = tables.result_tables(results, told, page.published), by_part(results)
    methods = list(dict.fromkeys(r.method for r in results))
    curves = figures.validation_curves(page.metrics)
    colour = figures.series_colours([*methods, *(name for lines in curves.values() for name in lines)])
    bars = next(iter(parts.values())) if len(parts) == 1 else {}
    bars = bars if len(bars) <= _MOST_BARS else {}
    validation = figures.validation_panels(page.metrics, colour)
    context: dict[str, Any] = {
        "title": page.title,
        "subtitle": page.subtitle,
        "sentences": tables.sentences(results, told),
        "main": main_method(methods),
        "tables": found,
        "runs": [tables.run_table(results)] if len({r.seed for r in results}) > 1 else [],
        "parts": tables.part_tables(parts),
        "bars": Markup(figures.part_bars(bars, colours=colour)) if any(bars.values()) else "",
        "bar_legend": [(name, colour[name]) for name in bars],
        "efficiency": [
            (f"{labels}, from {start}", Markup(figures.label_curve(lines, colour)), [(n, colour[n]) for n in lines])
            for (labels, start), lines in label_curves(results).items()
        ],
        "validation": {stage: (Markup(svg), legend) for stage, (svg, legend) in validation.items()},
        "losses": {s: {t: Markup(v) for t, v in of.items()} for s, of in figures.loss_panels(page.metrics).items()},
        "strips": [(strip.legend.entries(), strip.tiles()) for strip in page.strips],
        "galleries": [(gallery.title, gallery.legend.entries(), gallery.cards()) for gallery in page.galleries],
        "facts": page.facts,
        "problems": page.problems,
        "card": page.card.sections if page.card else {},
    }
    context["left_out"] = [name for name, key in _SECTIONS.items() if not context[key]]
    return write_text(path, rendered("report.html.jinja", context))


_MOST_BARS = 6
"""Methods that the figure of the parts takes; of more, and of several conditions, there are tables alone."""

_SECTIONS = {
    "results": "tables",
    "the parts": "parts",
    "validation": "validation",
    "training on an image": "strips",
    "examples": "galleries",
    "losses": "losses",
    "settings": "facts",
}


def rendered(template: str, context: Mapping[str, Any]) -> str:
    """A page from a template of this folder; all texts are made visible (``text.readable``) and escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: value if isinstance(value, Markup) else readable(str(value)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(context)
