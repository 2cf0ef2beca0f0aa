import json
import math
import warnings

import numpy as np
import pytest
import torch

from coarseparts.evaluation import iou as module
from coarseparts.evaluation.iou import bootstrap, iou, summary, to_json
from coarseparts.labels import part_maps
from coarseparts.labels.part_maps import ExclusiveMaps


def confusion(pred, target, classes):
    return ExclusiveMaps(classes - 1).confusion(pred, target)


def masks(seed=0, n=5, side=9, classes=4):
    r = np.random.default_rng(seed)
    target = r.integers(0, classes, (n, side, side))
    pred = np.where(r.random(target.shape) < 0.6, target, r.integers(0, classes, target.shape))
    target[r.random(target.shape) < 0.1] = 255
    return pred, target


def counted_one_by_one(pred, target, classes):
    counts = np.zeros((len(pred), classes, classes), np.int64)
    for n, rows in enumerate(target):
        for i, row in enumerate(rows):
            for j, t in enumerate(row):
                if t != 255:
                    counts[n, t, pred[n, i, j]] += 1
    return counts


def iou_from_sets(pred, target, c):
    """Pooled IoU of class c from sets of pixels."""
    labelled = {tuple(p) for p in np.argwhere(target != 255)}
    a = {tuple(p) for p in np.argwhere(pred == c)} & labelled
    b = {tuple(p) for p in np.argwhere(target == c)}
    return len(a & b) / len(a | b) if a | b else math.nan


@pytest.mark.parametrize("as_type", [np.asarray, torch.from_numpy, lambda a: torch.from_numpy(a.astype(np.uint8))])
def test_confusion_counts_each_labelled_pixel_once(as_type):
    pred, target = masks()
    counts = confusion(as_type(pred), as_type(target), 4)
    assert isinstance(counts, np.ndarray) and counts.dtype == np.int64
    assert np.array_equal(counts, counted_one_by_one(pred, target, 4))


def test_confusion_is_the_same_in_pieces(monkeypatch):
    pred, target = masks(1, n=7)
    whole = confusion(pred, target, 4)
    monkeypatch.setattr(part_maps, "_PIXELS_AT_ONCE", 170)
    assert np.array_equal(confusion(pred, target, 4), whole)
    assert np.array_equal(
        np.concatenate([confusion(pred[:3], target[:3], 4), confusion(pred[3:], target[3:], 4)]), whole
    )


def test_no_images_have_no_counts():
    empty = np.zeros((0, 4, 4), np.int64)
    counts = confusion(empty, empty, 3)
    assert counts.shape == (0, 3, 3) and np.isnan(iou(counts)).all()
    assert math.isnan(summary(counts, ["a", "b"])["part_miou"])


def test_iou_is_pooled_over_the_images():
    pred, target = masks(2)
    values = iou(confusion(pred, target, 4))
    assert values.tolist() == pytest.approx([iou_from_sets(pred, target, c) for c in range(4)])
    assert np.array_equal(iou(confusion(pred, target, 4).sum(0)), values)


def test_a_class_in_neither_is_nan_and_enters_no_mean():
    pred, target = masks(3)
    result = summary(confusion(pred, target, 6), ["a", "b", "c", "nowhere", "never"])
    assert math.isnan(result["iou"]["nowhere"]) and math.isnan(result["iou"]["never"])
    expected = [100 * iou_from_sets(pred, target, c) for c in range(4)]
    assert result["part_miou"] == pytest.approx(np.mean(expected[1:]))
    assert result["miou"] == pytest.approx(np.mean(expected))
    assert [result["iou"][k] for k in "abc"] == pytest.approx(expected[1:])
    assert result["images"] == 5
    low, high = result["ci95"]
    assert low <= result["part_miou"] <= high


def test_a_part_predicted_where_there_is_none_counts_as_zero():
    target = np.zeros((1, 2, 2), int)
    pred = np.array([[[0, 0], [0, 1]]])
    assert iou(confusion(pred, target, 2)).tolist() == pytest.approx([3 / 4, 0])


def test_perfect_is_a_hundred_and_all_wrong_is_nought():
    target = np.array([[[0, 1], [2, 255]]] * 3)
    right, wrong = np.where(target == 255, 0, target), np.where(target == 255, 0, (target + 1) % 3)
    best, worst = (summary(confusion(p, target, 3), ["a", "b"]) for p in (right, wrong))
    assert best["part_miou"] == best["miou"] == 100 and best["ci95"] == [100, 100]
    assert worst["part_miou"] == 0 and worst["ci95"] == [0, 0]


def test_bootstrap_draws_images_and_pools_each_draw(monkeypatch):
    pred, target = masks(4, n=6)
    conf = confusion(pred, target, 4)
    means = bootstrap(conf, 20, seed=7)
    drawn = np.random.default_rng(7).integers(0, 6, (20, 6))
    for mean, rows in zip(means, drawn, strict=True):
        assert mean == pytest.approx(np.mean([iou_from_sets(pred[rows], target[rows], c) for c in (1, 2, 3)]))
    assert np.array_equal(means, bootstrap(conf, 20, seed=7)) and not np.array_equal(means, bootstrap(conf, 20, seed=8))
    monkeypatch.setattr(module, "_DRAWN_AT_ONCE", 13)
    assert np.array_equal(means, bootstrap(conf, 20, seed=7))


def test_a_part_that_few_images_show_drops_out_of_the_draws_without_it():
    conf = np.zeros((3, 3, 3), np.int64)
    conf[:, 0, 0] = conf[:, 1, 1] = 10
    conf[0, 2, 1] = 5  # part 2 is in the first image only, and missed there
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        means = bootstrap(conf, 500)
    drawn = np.random.default_rng(0).integers(0, 3, (500, 3))
    for mean, rows in zip(means, drawn, strict=True):
        times = int((rows == 0).sum())
        assert mean == pytest.approx(1.0 if times == 0 else (30 / (30 + 5 * times) + 0) / 2)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    # Images are drawn from a population whose pooled IoU is 1/2; per-image hits vary.
    covered = 0
    for seed in range(120):
        hit = np.random.default_rng(seed).integers(0, 101, 40)
        conf = np.zeros((40, 2, 2), np.int64)
        conf[:, 1, 1], conf[:, 1, 0] = hit, 100 - hit
        low, high = summary(conf, ["part"], resamples=400, seed=seed)["ci95"]
        covered += low <= 50 <= high
    assert 0.87 <= covered / 120 <= 1


def test_wrong_input_is_refused_with_what_was_found():
    pred, target = masks()
    with pytest.raises(ValueError, match=r"pred holds \[3\]"):
        confusion(pred, np.zeros_like(target), 3)
    with pytest.raises(ValueError, match=r"target holds \[-1, 9\]"):
        confusion(pred, np.where(target == 0, -1, np.where(target == 1, 9, target)), 4)
    with pytest.raises(ValueError, match="the same for both"):
        confusion(pred[:2], target, 4)
    with pytest.raises(ValueError, match="part maps"):
        confusion(pred.astype(float), target, 4)
    with pytest.raises(ValueError, match=r"expected \(N, 3, 3\)"):
        summary(confusion(pred, target, 4), ["a", "b"])


def test_json_has_null_for_what_was_not_there():
    result = summary(np.zeros((2, 3, 3), np.int64), ["a", "b"])
    read = json.loads(to_json({"rows": [result]}))["rows"][0]
    assert read == {"images": 2, "part_miou": None, "miou": None, "iou": {"a": None, "b": None}, "ci95": [None, None]}
