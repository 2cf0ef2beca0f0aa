"""One problem, one printable line; many of a kind, few lines."""

import pickle

from coarseparts.system.problems import BadInput, Problem, capped, counted, errors
from coarseparts.system.text import readable


def test_a_problem_is_one_line_naming_file_message_and_remedy():
    assert str(Problem("a.jpg", "is empty", "copy it again")) == "a.jpg: is empty; copy it again"
    assert str(Problem("a.jpg", "is empty")) == "a.jpg: is empty"
    assert "\n" not in str(Problem("a\nb.jpg", "is\rempty"))


def test_names_that_are_not_utf8_can_be_printed():
    name = b"b\xffrd \xc3\xa9.jpg".decode("utf-8", "surrogateescape")
    assert readable(name) == "b\\xffrd é.jpg"
    for odd in (name, "\ud83d.jpg", "both \udcff \ud83d.jpg"):
        str(Problem(odd, "is empty")).encode("utf-8")  # raises if a lone surrogate is left


def test_bad_input_lists_all_and_survives_pickling():
    bad = BadInput([Problem("a", "x"), Problem("b", "y", "z", "note")])
    assert str(bad) == "a: x\nb: y; z"
    assert pickle.loads(pickle.dumps(bad)).problems == bad.problems
    assert BadInput(Problem("a", "x")).problems == [Problem("a", "x")]
    assert errors(bad.problems) == [Problem("a", "x")]


def test_many_of_a_kind_are_counted():
    many = [Problem(f"{i}.jpg", "does not exist", "add it") for i in range(57)]
    other = Problem("x.png", "is empty", "draw it")
    lines = [str(p) for p in capped([*many[:30], other, *many[30:]])]
    assert len(lines) == 22
    assert lines[:20] == [str(p) for p in many[:20]]
    assert "37 more" in lines[20] and "add it" in lines[20]
    assert lines[21] == str(other)
    assert capped(many[:20]) == many[:20]


def test_what_was_capped_may_be_capped_again_and_goes_on_counting():
    many = [Problem(f"{i}.jpg", "does not exist", "add it") for i in range(57)]
    once = capped(many)
    assert capped(once) == once
    assert capped(capped(many, most=30)) == once
    both = capped([*once, Problem("x.jpg", "does not exist", "add it")])
    assert len(both) == 21
    assert "and 38 more like those above" in str(both[-1])
    assert counted(both) == 58
