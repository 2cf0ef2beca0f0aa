"""Section 5.1's baselines: what each learns from, term by term, and that each is trained as EM is."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from em_toy import PARTS, POINTS, SIZE, Pointwise, Y, batch
from toy import toy, toy_store

from coarseparts.baselines import multi_task
from coarseparts.baselines.multi_task import MultiTask
from coarseparts.baselines.point_sup import PointSup, dilated, from_names, propose
from coarseparts.baselines.pseudo_sup import Options as PseudoSupOptions
from coarseparts.baselines.pseudo_sup import PseudoSup
from coarseparts.labels import Keypoints
from coarseparts.networks import Encoder, PartModel
from coarseparts.networks.decoder import SkipDecoder
from coarseparts.training import methods
from coarseparts.training.settings import settings

BASELINES = ("pseudo-sup", "multi-task", "point-sup", "uni-match", "self-training")
GENERATOR = torch.Generator()


def pair() -> tuple:
    return batch(2, 50, labelled=True), batch(4, 1)


def test_pseudo_sup_teaches_each_network_the_others_mode_and_not_its_own() -> None:
    torch.manual_seed(0)
    one, two = Pointwise(3), Pointwise(3)
    labelled, coarse = pair()
    terms = PseudoSup(one, two, PseudoSupOptions(), Y).terms(labelled, coarse, GENERATOR)
    assert sorted(terms) == ["one/coarse", "one/labelled", "two/coarse", "two/labelled"]
    x = torch.cat([coarse.image, labelled.image])
    a, b = copy.deepcopy(one)(x), copy.deepcopy(two)(x)
    torch.testing.assert_close(terms["one/coarse"], Y.supervised(a[:4], b[:4].argmax(1)))
    torch.testing.assert_close(terms["two/coarse"], Y.supervised(b[:4], a[:4].argmax(1)))
    torch.testing.assert_close(terms["two/labelled"], Y.supervised(b[4:], labelled.parts))
    gradient = torch.autograd.grad(terms["one/coarse"], list(two.parameters()), allow_unused=True)
    assert all(g is None for g in gradient), "the teacher learns nothing from being asked"


def test_pseudo_sup_sees_no_coarse_label() -> None:
    torch.manual_seed(0)
    baseline = PseudoSup(Pointwise(3), Pointwise(3), PseudoSupOptions(), Y).eval()
    labelled, coarse = pair()
    blind = batch(4, 1, present=False)
    for name in blind.labels:
        blind.labels[name] = torch.full_like(blind.labels[name], float("nan"))
    seen, unseen = (baseline.terms(labelled, c, GENERATOR) for c in (coarse, blind))
    assert {k: float(v.detach()) for k, v in seen.items()} == {k: float(v.detach()) for k, v in unseen.items()}


def make_multi_task(distance: str = "location") -> MultiTask:
    torch.manual_seed(0)
    network = PartModel(Encoder("resnet10", stages=3), PARTS + 1, "stride4")
    decoder = SkipDecoder(network.encoder.widths, POINTS, stride=4, full=False)
    keypoints = Keypoints(POINTS, torch.nn.Identity(), stride=4, distance=distance)  # type: ignore[arg-type]
    return MultiTask(network, decoder, keypoints, True, multi_task.Options(keypoints=10.0), Y)


@pytest.mark.parametrize("distance", ["l1", "location"])
def test_multi_task_trains_one_encoder_from_three_losses(distance: str) -> None:
    baseline = make_multi_task(distance)
    labelled, coarse = pair()
    terms = baseline.terms(labelled, coarse, GENERATOR)
    assert sorted(terms) == ["keypoints", "labelled", "mask"]
    encoder = list(baseline.part_model.encoder.parameters())
    for name, value in terms.items():
        gradients = torch.autograd.grad(value, encoder, retain_graph=True, allow_unused=True)
        assert any(g is not None and g.any() for g in gradients), name
    head = list(baseline.part_model.decoder.parameters())
    assert all(g is None for g in torch.autograd.grad(terms["keypoints"], head, allow_unused=True))


def test_multi_task_ignores_labels_that_are_not_there() -> None:
    baseline = make_multi_task()
    labelled, coarse = batch(2, 50, labelled=True, present=False), batch(4, 1, present=False)
    terms = baseline.terms(labelled, coarse, GENERATOR)
    assert float(terms["mask"].detach()) == float(terms["keypoints"].detach()) == 0
    assert float(terms["labelled"].detach()) > 0


def test_point_sup_weighs_points_mask_and_parts_as_the_paper_does() -> None:
    torch.manual_seed(0)
    network = Pointwise(3)
    labelled, coarse = pair()
    terms = PointSup(network, [1, 1, 2], True, settings("paper").point_sup, Y).terms(labelled, coarse, GENERATOR)
    logits = network(torch.cat([coarse.image, labelled.image]))
    torch.testing.assert_close(terms["labelled"], 2 * Y.supervised(logits[4:], labelled.parts))
    points = torch.cat([coarse.labels["keypoints"], labelled.labels["keypoints"]])
    marked = dilated(points, torch.tensor([1, 1, 2]), SIZE, 5)
    torch.testing.assert_close(terms["points"], 0.5 * Y.supervised(logits, marked))
    foreground = 1 - logits.softmax(1)[:, 0]
    mask = torch.cat([coarse.labels["mask"], labelled.labels["mask"]])[:, 0]
    torch.testing.assert_close(terms["mask"], torch.nn.functional.binary_cross_entropy(foreground, mask))


def test_a_point_becomes_a_square_of_its_part_cut_off_at_the_frame() -> None:
    points = torch.tensor([[[8.5, 4.2, 2.0], [0.3, 15.9, 2.0], [3.0, 3.0, 1.0], [5.0, 9.0, 0.0], [12.0, 12.0, 2.0]]])
    marked = dilated(points, torch.tensor([1, 2, 1, 1, 0]), 16, 5)[0]
    assert (marked[2:7, 6:11] == 1).all()
    assert (marked[13:16, 0:3] == 2).all()
    assert int((marked != 255).sum()) == 25 + 9, "hidden, absent and unassigned points mark nothing"


def test_the_table_is_proposed_from_where_points_lie_on_part_labelled_images() -> None:
    labelled = batch(6, 3, labelled=True)
    assert propose([labelled], POINTS, Y) == [1, 1, 2]
    assert propose([batch(6, 3, labelled=False)], POINTS, Y) == [0, 0, 0]
    assert from_names({"a": "up", "c": None}, ["a", "b", "c"], ["down", "up"]) == [2, 0, 0]
    with pytest.raises(ValueError, match=r"'x', 'wing' unknown; keypoints are a, b"):
        from_names({"x": "up", "a": "wing"}, ["a", "b"], ["up"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Every baseline trained for some steps in one run, and the stages by name."""
    folder = tmp_path_factory.mktemp("baselines")
    task, run = toy(folder / "store", folder / "run", **{"part_epochs": 1, "em_epochs": 1})  # type: ignore[arg-type]
    rows = {method: methods.train(task, run, method).rows[0] for method in BASELINES}
    return {"rows": rows, "task": task, "run": run, "folder": folder}


def test_every_baseline_runs_and_takes_ems_steps_from_the_fine_tuned_model(runs: dict) -> None:
    for method in BASELINES:
        row = runs["rows"][method]
        assert row["method"] == method
        assert 0 <= row["part_miou"] <= 100
        assert runs["run"].stages[method].epoch == runs["task"].settings.em_epochs
    assert (Path(runs["folder"]) / "run" / "stages" / "fine-tuning-2" / "best.safetensors").is_file()


def test_a_baseline_resumes_from_its_stage_with_the_same_result(runs: dict) -> None:
    folder = runs["folder"]
    again = toy(folder / "store", folder / "run", **{"part_epochs": 1, "em_epochs": 1})
    for method in BASELINES[::-1]:
        assert methods.train(*again, method).rows[0]["part_miou"] == runs["rows"][method]["part_miou"]


def test_what_a_baseline_cannot_learn_from_is_said(tmp_path: Path) -> None:
    task, run = toy(toy_folder := tmp_path / "store", tmp_path / "run")
    with pytest.raises(ValueError, match="multi-task needs keypoints or masks"):
        methods.train(replace(task, styles=["box"]), run, "multi-task")
    assert len(toy_store(toy_folder)) == 40
