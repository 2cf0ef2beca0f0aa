"""A user's text for each target: nothing in it commands anything, and nothing visible is lost."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hostile import NAMES, is_plain
from hypothesis import example, given
from hypothesis import strategies as st

from coarseparts.system.text import abridged, csv_cell, from_csv_cell, listed, markdown_cell, readable, short

TEXTS = st.one_of(
    st.text(),
    st.text(st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF) | st.characters()),
    st.text("'=+-@;＝ \t\r\nab|_*\\"),
    st.sampled_from(NAMES),
)


@given(TEXTS)
def test_readable_is_one_printable_line_and_keeps_what_is_printable(text: str) -> None:
    said = readable(text)
    assert said.isprintable() and is_plain(said)
    assert said.encode("utf-8").decode() == said
    assert readable(said) == said, "twice is once"
    kept = iter(said)
    assert all(c in kept for c in text if c.isprintable()), "every printable character, in order"
    if text.isprintable():
        assert said == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\u202eb", r"a\u202eb"),
        ("line\nbreak", r"line\nbreak"),
        ("bird\udcff.png", r"bird\xff.png"),
        ("\ud800x", r"\ud800x"),
        ("NUL\x00", r"NUL\x00"),
        ("Flügel 口", "Flügel 口"),
    ],
)
def test_what_cannot_be_shown_becomes_an_escape(text: str, said: str) -> None:
    assert readable(text) == said


@given(TEXTS)
@example("';=a")
def test_a_csv_cell_is_no_formula_and_comes_back(text: str) -> None:
    cell = csv_cell(text)
    for part in cell.split(";"):  # as spreadsheets of many countries part cells
        assert not part.lstrip().startswith(tuple("=+-@＝＋－＠"))
    assert from_csv_cell(cell) == readable(text)
    out = io.StringIO()
    csv.writer(out).writerow([cell, "next"])
    assert next(csv.reader(io.StringIO(out.getvalue()))) == [cell, "next"]


def test_plain_cells_stay_as_they_are() -> None:
    for text in ("em", "left wing", "point-sup", "a 'b'", "5;6"):
        assert csv_cell(text) == from_csv_cell(text) == text
    assert csv_cell("=cmd|'/c calc'!A1") == "'=cmd|'/c calc'!A1" and csv_cell("a; -b") == "a;' -b"


@given(TEXTS)
def test_a_markdown_cell_has_no_markup_and_loses_nothing(text: str) -> None:
    said = markdown_cell(text)
    unescaped = re.sub(r"\\(.)", r"\1", said)
    assert unescaped == readable(text)
    bare = re.sub(r"\\.", "", said)
    assert not set(bare) & set("\\`*[]<>|#&~$"), "all of them are escaped"
    assert not re.search(r"(^|[\W_])_|_([\W_]|$)", re.sub(r"\\.", " ", said)), "what is left of _ stands in a word"


def test_names_of_our_own_need_no_escapes_in_markdown() -> None:
    assert markdown_cell("part_boxes + mask, 95 % (+1.0 to +2.0)") == "part_boxes + mask, 95 % (+1.0 to +2.0)"
    assert markdown_cell("_a_ **b**") == r"\_a\_ \*\*b\*\*"


@given(TEXTS, st.integers(1, 80))
def test_abridged_keeps_both_ends(text: str, most: int) -> None:
    said, whole = abridged(text, most), readable(text)
    assert len(said) <= most and is_plain(said)
    if len(whole) <= most:
        assert said == whole
    else:
        start, end = said[: most // 2], said[most // 2 + 1 :]
        assert said[most // 2] == "…" and whole.startswith(start) and whole.endswith(end)


@given(st.recursive(TEXTS | st.integers() | st.none(), lambda v: st.lists(v) | st.dictionaries(TEXTS, v), max_leaves=8))
@example(10**5000)
def test_short_is_a_short_line(value: object) -> None:
    assert len(short(value)) <= 40 and is_plain(short(value)) and "\n" not in short(value)


@given(st.lists(TEXTS.map(readable), max_size=30), st.integers(1, 20))
def test_listed_counts_what_it_leaves_out(names: list[str], most: int) -> None:
    said = listed(iter(names), most)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    assert said == ", ".join(names[:most]) + more
