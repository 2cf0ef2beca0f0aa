"""Small data sets as widely used tools, and their users, write them: read as meant, or told what is needed."""

from __future__ import annotations

import pytest
from real_data import SHARED, needs_shared

from coarseparts.data.check import CheckReport, check

AREAS = {"head": 254, "thorax": 614, "abdomen": 1490}
"""Pixels of the parts in each of the four pictures of 160 x 120."""

WHOLE = {"parts", "keypoints", "mask", "box"}
READ: dict[str, tuple[set[str], str]] = {
    "case01": (WHOLE, "are taken for the one region that they are"),
    "case02": (WHOLE, "4 objects are written as two annotations each"),
    "case04": ({"parts"}, "has no annotation of the categories beetle-parts"),
    "case06c": ({"parts", "keypoints"}, "they are taken for the keypoints"),
    "case09c": ({"parts", "keypoints", "mask"}, "4 samples are of photographs that are turned upright"),
    "case11a": ({"parts"}, ""),
    "case11c": ({"parts"}, ""),
    "case11d": (WHOLE, ""),
    "case13a": (WHOLE, ""),
    "case14": (WHOLE, "have visibility 1, hidden, and none has 2"),
    "case15a": (WHOLE, "taken as not labelled: 'tail' in 4 of 4 objects"),
    "case20": ({"parts", "mask"}, ""),
    "case21a": ({"parts"}, ""),
    "case24": ({"parts", "keypoints"}, "are the hulls of these, not the objects' boxes"),
    "case26a": (WHOLE, ""),
}
"""Case: the labels that each of its four samples has, and a note."""

REFUSED = {
    "case09a": ("before EXIF orientation 6 turns it upright", 4),
    "case17b": ("write `suffix: _mask`", 1),
    "case19a": ("was made on 160x120 pixels", 4),
}
"""Case: what its errors say, and how many there are."""


def checked(case: str) -> CheckReport:
    return check(SHARED / "field" / case / "data.yaml")


@needs_shared
@pytest.mark.parametrize("case", READ)
def test_it_is_read_as_it_was_meant(case: str) -> None:
    labels, note = READ[case]
    report = checked(case)
    assert report.errors == []
    counts = report.splits["train"]
    assert {name for name in counts if counts[name] == 4} >= labels | {"samples", "images"}
    assert not any(counts[name] for name in WHOLE - labels)
    told = [f"{problem.message}" for problem in report.problems if problem.severity == "note"]
    assert not note or any(note in message for message in told), told
    share = report.part_share["train"]
    head = share["head"] / AREAS["head"]
    for part, area in AREAS.items():  # in the proportions in which they were drawn: none under another's name, none cut
        assert share[part] / area == pytest.approx(head, rel=0.08), (case, part)


@needs_shared
@pytest.mark.parametrize("case", REFUSED)
def test_what_it_needs_is_told(case: str) -> None:
    text, count = REFUSED[case]
    errors = [str(problem) for problem in checked(case).errors]
    assert len(errors) == count and all(text in error for error in errors)


@needs_shared
def test_a_background_that_is_the_last_index_is_told() -> None:
    (error,) = [str(problem) for problem in checked("case12").errors]
    assert (
        "is the background the last index?" in error
        and "`colours: {head: 0, thorax: 1, abdomen: 2, background: 3}`" in error
    )
