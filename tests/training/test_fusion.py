"""The answer to labels: a product of posterior, part model and closed forms, its shares fitted on validation images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toy import toy, write_ants

import coarseparts
from coarseparts.data.transforms import mirror
from coarseparts.evaluation.iou import iou
from coarseparts.inference.evaluate import evaluate_store
from coarseparts.inference.model import Model
from coarseparts.inference.predict import log_parts
from coarseparts.joint import JointModel
from coarseparts.labels import ExclusiveParts, OverlappingParts
from coarseparts.labels.schema import Schema
from coarseparts.system.errors import WrongArgument
from coarseparts.training import fusion, stages
from coarseparts.training.task import Task


class _Sure(nn.Module):
    """All of every image is the last part."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, image: Tensor, drawn: Tensor) -> Tensor:
        logits = torch.zeros(len(image), self.outputs, *image.shape[2:])
        logits[:, -1] = 200
        return logits


def part_miou(counts: np.ndarray) -> float:
    return float(np.nan_to_num(iou(counts)[1:]).mean())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Task, JointModel]:
    folder = tmp_path_factory.mktemp("fusion")
    task, run = toy(folder / "store", folder / "run", part_epochs=8, posterior_epochs=8)
    return task, stages.initialised(task, run)


def test_the_ends_are_the_posterior_and_the_part_model(trained: tuple[Task, JointModel]) -> None:
    task, joint = trained
    for module in joint.trained:
        module.eval()
    batch = next(task.val_feed.plain())
    with torch.no_grad():
        log_p = joint.y.log_probability(joint.part_model(batch.image))
        ends = fusion.fused(joint, batch, [0.0] * len(batch)), fusion.fused(joint, batch, [1.0] * len(batch))
        torch.testing.assert_close(ends[0], joint.infer(batch, condition=True))
        torch.testing.assert_close(ends[1], joint.condition(batch, log_p))
        each = fusion.fused(joint, batch, [0.0, 1.0] * (len(batch) // 2))
    torch.testing.assert_close(each[0], ends[0][0])
    torch.testing.assert_close(each[1], ends[1][1])


@pytest.mark.parametrize("y", [ExclusiveParts(2), OverlappingParts(2)], ids=["exclusive", "overlapping"])
def test_a_product_is_a_distribution_again(y: ExclusiveParts | OverlappingParts) -> None:
    a, b = (y.log_probability(torch.randn(2, y.outputs, 3, 3)) for _ in range(2))
    mixed = y.normalised(0.3 * a + 0.7 * b).exp()
    total = mixed.sum(1) if y.exclusive else y.present(mixed) + y.absent(mixed.log()).exp()
    torch.testing.assert_close(total, torch.ones_like(total))
    torch.testing.assert_close(y.normalised(0.3 * a + 0.7 * a), a)


def test_the_fitted_share_is_that_of_the_best_parts(trained: tuple[Task, JointModel]) -> None:
    task, joint = trained
    shares = fusion.fit_on(task, joint)
    assert set(shares) == {
        *("keypoints", "mask", "box", "keypoints+mask", "keypoints+box", "mask+box", "keypoints+mask+box")
    }
    assert all(share in fusion.SHARES for share in shares.values())
    batch = fusion.only(next(task.val_feed.plain()), ["box"])
    assert batch.present["box"].all() and not batch.present["mask"].any() and batch.present["parts"].all()
    with torch.no_grad():
        answers = [fusion.fused(joint, batch, [share] * len(batch)) for share in fusion.SHARES]
    scores = [part_miou(task.schema.maps.confusion(joint.y.mode(log_y), batch.parts)) for log_y in answers]
    assert scores[fusion.SHARES.index(shares["box"])] >= max(scores) - 0.001 and max(scores) > min(scores)
    wrong = replace(joint, posterior=_Sure(joint.y.outputs))
    assert set(fusion.fit_on(task, wrong).values()) == {1.0}, "a posterior that is sure and wrong is not asked"


def test_the_share_of_a_subset_that_nobody_had() -> None:
    shares = {"mask": 0.6, "box": 0.9, "mask+box": 0.5}
    assert [fusion.share_of(shares, wanted) for wanted in (["box"], ["box", "mask"], [])] == [0.9, 0.5, 1.0]
    assert fusion.share_of(shares, ["keypoints", "mask"]) == 0.6, "of those with a mask the one with nothing else"
    assert fusion.share_of({}, ["mask"]) == 0.0, "a model without shares answers with its posterior"


def test_a_model_keeps_its_shares_and_answers_by_them(trained: tuple[Task, JointModel], tmp_path: Path) -> None:
    task, joint = trained
    Model.of(task, joint, True).save(tmp_path / "model")
    model = Model.load(tmp_path / "model")
    assert model.shares == fusion.fit_on(task, joint)
    batch = next(task.val_feed.plain())
    with torch.no_grad():
        share = model.shares["keypoints+mask+box"]
        torch.testing.assert_close(log_parts(model, batch, True), fusion.fused(joint, batch, [share] * len(batch)))
    alone = evaluate_store(model, task.store, "val", "part")
    assert evaluate_store(model, task.store, "val", "posterior", [])["part_miou"] == alone["part_miou"]
    given = {name: evaluate_store(model, task.store, "val", "posterior", [name])["part_miou"] for name in task.styles}
    assert len({*given.values(), alone["part_miou"]}) > 2


def test_evaluate_takes_the_labels_that_count(tmp_path: Path) -> None:
    write_ants(tmp_path)
    run = tmp_path / "runs" / "ants"
    alone = coarseparts.evaluate(run, device="cpu")
    none = coarseparts.evaluate(run, model="posterior", labels=[], device="cpu")
    assert none.iou == alone.iou and [
        problem.message for problem in none.problems if "no coarse label" in problem.message
    ]
    assert coarseparts.evaluate(run, model="posterior", labels=["box"], device="cpu").iou != alone.iou
    with pytest.raises(WrongArgument, match="labels: 'boxx' is no label of this model; did you mean 'box'"):
        coarseparts.evaluate(run, model="posterior", labels=["boxx"], device="cpu")


@pytest.mark.parametrize("y", [ExclusiveParts(3), OverlappingParts(3)], ids=["exclusive", "overlapping"])
def test_mirrored_states_are_those_of_mirrored_parts(y: ExclusiveParts | OverlappingParts) -> None:
    schema = Schema(parts=("left", "right", "tail"), mirror=(("left", "right"),), overlapping=not y.exclusive)
    parts = torch.randint(0, 4, (2, 5, 5), generator=torch.Generator().manual_seed(0))
    turned = torch.tensor(schema.value_flip())[parts.flip(-1)]
    assert torch.equal(y.mirrored(y.certain(turned), schema.part_flip()), y.certain(parts))


def test_with_flips_a_mirrored_image_has_the_mirrored_answer(trained: tuple[Task, JointModel]) -> None:
    task, joint = trained
    model = replace(Model.of(task, joint, True), flip=True)
    batch = next(task.val_feed.plain())
    turned = mirror(batch, task.schema)
    with torch.no_grad():
        for labelled in (False, True):
            here, there = log_parts(model, batch, labelled), log_parts(model, turned, labelled)
            torch.testing.assert_close(joint.y.mirrored(there, task.schema.part_flip()), here, atol=1e-3, rtol=1e-3)
            assert not torch.allclose(here, log_parts(replace(model, flip=False), batch, labelled))
            torch.testing.assert_close(here.exp().sum(1), torch.ones_like(here[:, 0]))


def test_of_shares_that_are_as_good_the_most_likely_one_is_taken() -> None:
    one = np.array([[6, 0], [1, 3]])
    counts = np.stack([np.stack([one * (1 if i != 4 else 0) + (i == 4) * np.diag([7, 3])] * 2) for i in range(11)], 1)
    likely = np.zeros((2, 11))
    assert fusion._best(counts, likely) == 0.4
    likely[:, 7] = 1
    assert fusion._best(counts, likely) == 0.4 and fusion._best(counts[:, :1].repeat(11, 1), likely) == 0.7
