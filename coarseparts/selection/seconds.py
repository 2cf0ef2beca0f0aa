"""How long a label takes to draw, in seconds, by its kind; and how long somebody has."""

from __future__ import annotations

import re
from pathlib import Path

from coarseparts.report.sheets import number_of, read_sheet
from coarseparts.system.problems import BadInput, Problem, capped
from coarseparts.system.text import nearest, short

PART_MASK = "part_mask"

SECONDS = {PART_MASK: 240.0, "mask": 80.0, "keypoints": 45.0, "box": 10.0, "part_boxes": 60.0}
"""Guesses of the order that is published: about 240 s for all regions of a picture (Bearman et al. 2016), 80 s for the
outline of an object (Lin et al. 2014), 7 s (by its extremes) to 35 s for a box (Papadopoulos et al. 2017); 3 s for each
of fifteen keypoints. Who measures their own should name them."""

LONGEST = 86_400.0
MOST_BYTES = 100_000

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def read_seconds(file: Path | None) -> dict[str, float]:
    """``SECONDS``, those of them that a CSV file (label,seconds) names being as it says. Raises BadInput with
    everything that is wrong with it."""
    if file is None:
        return dict(SECONDS)
    remedy = f"write lines such as {PART_MASK},180 under the heading label,seconds"
    sheet = read_sheet(file, ("label", "seconds"), "name a CSV file with --seconds", remedy, MOST_BYTES)
    if doubt := sheet.ambiguous("seconds"):
        raise BadInput(Problem(str(file), *doubt))
    lines = [(cells["label"].strip(), cells["seconds"].strip()) for _, cells in sheet.lines]
    given: dict[str, float] = {}
    problems = []
    for label, seconds in lines:
        if label not in SECONDS:
            problems.append(Problem(str(file), f"names the label {short(label)}", nearest(label, SECONDS)))
        elif label in given:
            problems.append(Problem(str(file), f"names {label} twice", "keep one line"))
        else:
            given[label] = number_of(seconds, sheet.decimal("seconds"))
            if not 0.1 <= given[label] <= LONGEST:
                message = f"says {short(seconds)} of {label}, expected 0.1 to {LONGEST:,.0f} seconds"
                problems.append(Problem(str(file), message, remedy))
    if problems:
        raise BadInput(capped(problems))
    return SECONDS | given


def read_budget(text: str) -> float:
    """Seconds of "90s", "30m", "1.5h"; minutes of a bare number. Raises BadInput."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smh]?)", text.strip(), re.ASCII)
    seconds = float(found[1]) * _UNITS[found[2] or "m"] if found else 0.0
    if not 0 < seconds <= 1000 * LONGEST:
        raise BadInput(Problem(f"--budget {short(text)}", "is no time", "write e.g. 90s, 30m or 1.5h"))
    return seconds
