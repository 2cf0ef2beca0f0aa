"""In which order images are put, and how long a label takes."""

from __future__ import annotations

import numpy as np
import pytest

from coarseparts.selection.orders import ORDERS, by_core_set, by_disagreement, by_entropy
from coarseparts.selection.seconds import SECONDS, read_budget, read_seconds
from coarseparts.selection.views import Views
from coarseparts.system.problems import BadInput


def views(**given: np.ndarray) -> Views:
    n = len(next(iter(given.values())))
    blank = {"foreground": np.ones(n), "entropy": np.ones((n, 2)), "doubt": np.ones(n), "disagreement": np.ones(n)}
    return Views(np.arange(n), **blank | {"features": np.eye(n)} | given, gains={})


@pytest.mark.parametrize("name", ORDERS)
def test_every_order_names_each_image_once_and_no_more_than_asked_for(name):
    seen, known = views(foreground=np.ones(7)), np.eye(7)[:1]
    for count in (1, 3, 7, 20):
        order = ORDERS[name](seen, known, count, np.random.default_rng(0))
        assert len(order) == len(set(order)) == min(count, 7)
        assert (order == ORDERS[name](seen, known, count, np.random.default_rng(0))).all()


def test_the_parts_take_turns_and_each_takes_an_image_that_doubts_it():
    entropy = np.full((6, 2), 1e-6)
    entropy[1, 0] = entropy[4, 1] = 1.0
    for seed in range(20):
        assert by_entropy(views(entropy=entropy), np.zeros((0, 6)), 2, np.random.default_rng(seed)).tolist() == [1, 4]


def test_what_the_models_differ_in_comes_first_in_proportion():
    apart = np.array([0.1, 0.3, 0.0])
    seen, known = views(disagreement=apart), np.zeros((0, 3))
    first = [by_disagreement(seen, known, 1, np.random.default_rng(seed))[0] for seed in range(800)]
    shares = np.bincount(first, minlength=3) / len(first)
    assert shares == pytest.approx([0.25, 0.75, 0.0], abs=0.06)


def test_a_core_set_goes_where_nothing_is_known():
    features = np.array([[0.0], [0.1], [1.0], [5.0]])
    order = by_core_set(views(features=features), np.array([[0.0]]), 3, np.random.default_rng(0))
    assert order.tolist() == [3, 2, 1]


def test_seconds_are_those_of_the_file_and_the_others_stay(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("label,seconds\npart_mask,100\nbox,4.5\n")
    assert read_seconds(file) == SECONDS | {"part_mask": 100.0, "box": 4.5}
    file.write_text("label;seconds\npart_mask;100\nbox;4,5\n;\n", encoding="utf-8-sig")
    assert read_seconds(file) == SECONDS | {"part_mask": 100.0, "box": 4.5}, "as Excel saves it in many countries"
    assert read_seconds(None) == SECONDS


def test_everything_wrong_with_a_table_of_seconds_is_told_at_once(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("label,seconds\npart_msk,100\nbox,nan\nmask,-1\nkeypoints,9\nkeypoints,9\n")
    with pytest.raises(BadInput) as bad:
        read_seconds(file)
    told = str(bad.value)
    assert all(text in told for text in (str(file), "part_msk", "did you mean", "nan", "-1", "twice"))
    for damaged in (b"a,b\n1,2\n", b"\xff\xfe\x00", b""):
        file.write_bytes(damaged)
        with pytest.raises(BadInput, match=r"mine\.csv"):
            read_seconds(file)
    with pytest.raises(BadInput, match=r"none\.csv"):
        read_seconds(tmp_path / "none.csv")


def test_a_budget_is_read_as_people_write_it():
    assert [read_budget(text) for text in ("90s", "30m", "1.5h", "30")] == [90, 1800, 5400, 1800]
    for text in ("", "0m", "-3m", "soon", "1e9h", "9" * 99, "٣m"):
        with pytest.raises(BadInput, match="is no time"):
            read_budget(text)
