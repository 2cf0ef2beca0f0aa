"""Writes the tables of the pages from the committed CSV files: python benchmarks/tables.py [--check].

The pages are README.md and docs/results.md. A table stands between ``<!-- NAME table -->`` and ``<!-- end -->`` and
comes from ``benchmarks/NAME.csv``, a results.csv, and ``NAME_margins.csv``, where the paired differences lie beside it
(or the IoU of each part, where NAME ends in ``_by_part``; ``NAME_short``: of NAME all conditions beside each other).
With ``--check`` nothing is written, and the exit status is 1 if a page says something else than the CSV files.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from coarseparts.report.results import read_margins, read_parts, read_results
from coarseparts.report.tables import markdown, overview, part_tables, to_markdown

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
HEADS = {
    "30 part masks, one label each, from random": "one label each",
    "30 part masks, all labels, from random": "all labels",
}
"""Conditions as the README names them, whose text says the rest."""

PLACE = re.compile(r"<!-- (\w+) table -->\n.*?<!-- end -->", re.DOTALL)


def filled(text: str, folder: Path = ROOT / "benchmarks") -> str:
    """``text`` with every table made anew. Raises FileNotFoundError for a table whose CSV file is missing."""

    def table(match: re.Match[str]) -> str:
        name, margins = match[1], folder / f"{match[1]}_margins.csv"
        if name.endswith("_by_part"):
            [parts] = part_tables(read_parts(folder / f"{name}.csv"))
            made = markdown(parts)
        elif name.endswith("_short"):
            results = read_results(folder / f"{name.removesuffix('_short')}.csv")
            made = markdown(overview(results))
            for long, short in HEADS.items():
                made = made.replace(long, short)
        else:
            told = read_margins(margins) if margins.is_file() else None
            made = to_markdown(read_results(folder / f"{name}.csv"), told=told)
            made = made.replace("## ", "### ")  # below the page's own headings
        return f"<!-- {name} table -->\n{made.strip()}\n<!-- end -->"

    return PLACE.sub(table, text)


def main() -> int:
    """Writes, or with --check compares."""
    texts = {page: page.read_text() for page in PAGES}
    made = {page: filled(text) for page, text in texts.items()}
    if "--check" in sys.argv:
        return int(made != texts)
    for page, text in made.items():
        page.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
